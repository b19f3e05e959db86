//! What the administrator writes: main.cf and master.cf.
