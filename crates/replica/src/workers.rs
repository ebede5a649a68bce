//! A fixed number of threads for what must not stand in the way of bytes: verifying pages and reading logs.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end, after what was given to them, when this is dropped.
#[derive(Debug)]
pub(crate) struct Workers {
    jobs: Mutex<Option<Sender<Job>>>,
    queue: Arc<Mutex<Receiver<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Workers {
    pub(crate) fn new(count: usize) -> std::io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new().name(format!("replica-{number}"));
            threads.push(thread.spawn(move || work(&queue))?);
        }
        Ok(Self { jobs: Mutex::new(Some(jobs)), queue, threads: Mutex::new(threads) })
    }

    /// Does one job on this thread, if there are no others to do it. Gives whether there was one.
    pub(crate) fn step(&self) -> bool {
        let job = self.queue.lock().unwrap_or_else(PoisonError::into_inner).try_recv();
        job.map(|job| job()).is_ok()
    }

    /// Hands over a job. The queue needs no bound of its own: a session has at most a few requests under way.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        if let Some(jobs) = &*self.jobs.lock().unwrap_or_else(PoisonError::into_inner) {
            // The threads live as long as this does.
            let _ = jobs.send(Box::new(job));
        }
    }

    /// Takes no more jobs and waits for those that were given. Jobs given later are dropped.
    pub(crate) fn finish(&self) {
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let own = std::thread::current().id();
        for thread in threads {
            // The last owner may be a job on one of these threads, which cannot wait for itself.
            if thread.thread().id() != own {
                let _ = thread.join();
            }
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.finish();
    }
}
