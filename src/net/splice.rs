//! Moving bytes from socket to socket inside the kernel: `splice(2)` through a pipe that a
//! session borrows only while bytes flow.
//!
//! Linux only; elsewhere [`Pipe::borrow`] returns `None` and the relay copies.

#[cfg(target_os = "linux")]
pub(super) use linux::Pipe;
#[cfg(not(target_os = "linux"))]
pub(super) use none::Pipe;

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::{Cell, RefCell};
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};

    use crate::net::descriptors;
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

    /// A pipe's capacity, in bytes.
    const CAPACITY: usize = 256 * 1024;

    /// Pipes that a thread keeps for the next session, two descriptors each.
    const SPARE: usize = 32;

    /// Number of calls that are refused without asking the system, after it has refused once.
    const PAUSE: u32 = 1000;

    thread_local! {
        static REFUSED: Cell<u32> = const { Cell::new(0) };
        static SPARES: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
    }

    /// A pipe and the number of bytes in it.
    #[derive(Debug)]
    pub(in crate::net) struct Pipe {
        read: OwnedFd,
        write: OwnedFd,
        len: usize,
    }

    impl Pipe {
        /// Returns an empty pipe, a spare or a new one.
        ///
        /// `None` when descriptors run out, and when the system gives this user no more pipes of a
        /// useful size (`fs.pipe-user-pages-soft`): a small one is slower than copying.
        pub(in crate::net) fn borrow() -> Option<Self> {
            if let Some(spare) = SPARES.with_borrow_mut(Vec::pop) {
                return Some(spare);
            }
            if REFUSED.get() > 0 {
                REFUSED.set(REFUSED.get() - 1);
                return None;
            }
            let pipe = Self::new();
            if pipe.is_none() {
                REFUSED.set(PAUSE);
            }
            pipe
        }

        fn new() -> Option<Self> {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
            // Either end may have got the higher number.
            descriptors::check(&read)
                .and(descriptors::check(&write))
                .ok()?;
            fcntl_setpipe_size(&write, CAPACITY).ok()?;
            Some(Self {
                read,
                write,
                len: 0,
            })
        }

        /// Keeps the pipe for the next session if it is empty: bytes left in it belong to a session
        /// that ended.
        pub(in crate::net) fn give_back(self) {
            if self.len == 0 {
                SPARES.with_borrow_mut(|spares| {
                    if spares.len() < SPARE {
                        spares.push(self);
                    }
                });
            }
        }

        /// Bytes in the pipe.
        pub(in crate::net) fn len(&self) -> usize {
            self.len
        }

        /// Moves bytes of `source` into the empty pipe; 0 is the end of the stream.
        pub(in crate::net) fn fill(&mut self, source: impl AsFd) -> io::Result<usize> {
            let n = splice(
                source,
                None,
                &self.write,
                None,
                CAPACITY,
                SpliceFlags::NONBLOCK | SpliceFlags::MOVE,
            )?;
            self.len += n;
            Ok(n)
        }

        /// Moves bytes of the pipe to `target`, as many as it takes.
        pub(in crate::net) fn drain(&mut self, target: impl AsFd) -> io::Result<usize> {
            let n = splice(
                &self.read,
                None,
                target,
                None,
                self.len,
                SpliceFlags::NONBLOCK | SpliceFlags::MOVE,
            )?;
            self.len -= n;
            Ok(n)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod none {
    use std::io;

    /// A pipe that does not exist: there is no splice on this system.
    #[derive(Debug)]
    pub(in crate::net) enum Pipe {}

    impl Pipe {
        pub(in crate::net) fn borrow() -> Option<Self> {
            None
        }

        pub(in crate::net) fn give_back(self) {}

        pub(in crate::net) fn len(&self) -> usize {
            match *self {}
        }

        pub(in crate::net) fn fill<S>(&mut self, _: S) -> io::Result<usize> {
            match *self {}
        }

        pub(in crate::net) fn drain<T>(&mut self, _: T) -> io::Result<usize> {
            match *self {}
        }
    }
}
