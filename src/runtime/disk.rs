//! The log write: one positioned write that is on stable storage when it completes.

use crate::executor::TaskId;
use crate::io::{Op, Shared, Target};
use crate::reactor::{Pending, Rt};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// Where the completion puts its result.
pub(crate) struct Written {
    result: RefCell<Option<io::Result<usize>>>,
    waiting: Cell<Option<TaskId>>,
}

impl Written {
    pub(crate) fn complete(&self, rt: &Rt, result: io::Result<usize>) {
        *self.result.borrow_mut() = Some(result);
        if let Some(task) = self.waiting.take() {
            rt.wake(task);
        }
    }
}

impl Rt {
    /// Writes `data` at `offset`. With `sync` the file's data is flushed as well (for descriptors
    /// that were not opened `O_DSYNC`). The number of bytes written may be short.
    ///
    /// # Errors
    /// As write(2) and fdatasync(2). After one, nothing written through this file can be believed.
    pub async fn write(
        &self,
        file: Arc<dyn Target>,
        offset: u64,
        data: Shared,
        sync: bool,
    ) -> io::Result<usize> {
        let written = Rc::new(Written { result: RefCell::new(None), waiting: Cell::new(None) });
        let op = Op::Write { file, offset, data, sync };
        self.submit(Pending::Write(written.clone()), op);
        poll_fn(|_| {
            if let Some(result) = written.result.borrow_mut().take() {
                return Poll::Ready(result);
            }
            written.waiting.set(Some(self.current()));
            Poll::Pending
        })
        .await
    }
}
