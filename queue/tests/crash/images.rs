//! What is asked of every image.

use std::sync::Arc;

use ringpost_queue::{
    Log, Number, Reader, SyncMode,
    storage::sim::{Picture, Rng, SimDisk, Tear},
};

use crate::{
    model::{Models, check},
    world::{Certain, open, queue},
};

/// Images looked at, and who looks.
pub struct Examiner {
    pub count: u64,
    pub rng: Rng,
    pub cores: u8,
    pub sync: SyncMode,
}

impl Examiner {
    /// Opens an image and holds it against the model; then perhaps again after a second crash
    /// while the first was being repaired. Returns the logs for who wants to go on.
    pub fn examine(
        &mut self,
        image: SimDisk,
        models: &Models,
        certain: &Certain,
    ) -> (SimDisk, Vec<Log>) {
        self.count += 1;
        image.watch();
        let logs = self.recover(&image, models, certain);
        let pictures = image.watched();
        let again = !pictures.is_empty() && self.rng.one_in(2);
        if !again {
            return (image, logs);
        }
        drop(logs);
        let picture = &pictures[self.rng.below(pictures.len() as u64) as usize];
        let tear = Tear::random(&mut self.rng);
        let image = picture.torn(tear, &mut self.rng);
        self.count += 1;
        let logs = self.recover(&image, models, certain);
        (image, logs)
    }

    fn recover(&mut self, image: &SimDisk, models: &Models, certain: &Certain) -> Vec<Log> {
        let tail = if self.rng.one_in(2) { 0 } else { 1 << 20 };
        let opened = open(image, self.cores, self.sync, tail).unwrap();
        let mut logs = Vec::new();
        for (at, (log, recovery)) in opened.into_iter().enumerate() {
            assert!(recovery.missing.is_empty(), "{recovery:?}");
            assert!(recovery.unreadable.is_empty(), "{recovery:?}");
            check(models, &log, certain.durable[at]);
            logs.push(log);
        }
        if self.rng.one_in(4) {
            same_for_a_reader(image, &logs);
        }
        for (at, log) in logs.iter_mut().enumerate() {
            let number: Number = log.reserve_number();
            assert!(number.get() > certain.largest[at], "{number} was given out before");
        }
        logs
    }

    /// A torn disk, in a random way.
    pub fn tear(&mut self, picture: &Picture) -> SimDisk {
        let tear = Tear::random(&mut self.rng);
        picture.torn(tear, &mut self.rng)
    }
}

fn same_for_a_reader(image: &SimDisk, logs: &[Log]) {
    let reader = Reader::open_on(Arc::new(image.clone()), queue()).unwrap();
    let found: Vec<_> = logs
        .iter()
        .flat_map(|log| {
            let mut live: Vec<_> = log.live().collect();
            live.sort_by_key(|live| live.number);
            live
        })
        .collect();
    assert_eq!(reader.live(), found, "the reader sees the same");
}
