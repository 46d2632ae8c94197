//! What the application's handles and the task share: the machine, and who waits for what.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    acknowledgement::Acknowledgement, error::PushError, machine::Machine, outbox::Ticket,
    pushed::Pushed,
};
use crate::{id::PushKey, message::Message, postman::FromClient, runtime::clock};

/// What the application's handles and the task share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Room for pushes, in bytes.
    room: Arc<Semaphore>,
    /// There is something to say, or there will be no more.
    pub(super) transmit: Notify,
    /// It is another time that is to be waited for.
    pub(super) timer: Notify,
    /// The application has made room.
    pub(super) reading: Notify,
    /// There is an event for the application.
    pub(super) news: Notify,
}

#[derive(Debug)]
struct State {
    machine: Machine,
    waiting: BTreeMap<Ticket, Waiting>,
}

/// A push of which is not known yet what becomes of it.
#[derive(Debug)]
struct Waiting {
    result: oneshot::Sender<Result<Acknowledgement, PushError>>,
    /// Its room in the queue, which is free again once this is gone.
    _room: OwnedSemaphorePermit,
}

impl Shared {
    /// How many pushes are kept until they are acknowledged. At the limit, pushing waits.
    const MAX_PUSHES: usize = 1024;

    /// How many bytes of pushes are kept until they are acknowledged. At the limit, pushing waits.
    const MAX_PUSHED_BYTES: usize = 4 << 20;

    /// A push takes this much room at least, so that all of it is taken by the most that are kept.
    const LEAST_ROOM: usize = Self::MAX_PUSHED_BYTES / Self::MAX_PUSHES;

    pub(super) fn new(machine: Machine) -> Self {
        Self {
            state: Mutex::new(State { machine, waiting: BTreeMap::new() }),
            room: Arc::new(Semaphore::new(Self::MAX_PUSHED_BYTES)),
            transmit: Notify::new(),
            timer: Notify::new(),
            reading: Notify::new(),
            news: Notify::new(),
        }
    }

    /// Lends the machine to the task, and tells those that wait for what came of it.
    pub(super) fn handle<T>(&self, act: impl FnOnce(&mut Machine, Instant) -> T) -> T {
        let done = self.lend(act);
        self.news.notify_one();
        self.transmit.notify_one();
        self.timer.notify_one();
        done
    }

    /// Lends the machine to the application, and tells the task.
    pub(super) fn ask<T>(&self, act: impl FnOnce(&mut Machine) -> T) -> T {
        let done = self.lend(|machine, _| act(machine));
        self.reading.notify_one();
        self.transmit.notify_one();
        self.timer.notify_one();
        done
    }

    /// Lends the machine for what nobody waits for but the caller.
    pub(super) fn with_quietly<T>(&self, act: impl FnOnce(&mut Machine, Instant) -> T) -> T {
        act(&mut self.state.lock().machine, clock::now())
    }

    /// Looks at the machine.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Machine) -> T) -> T {
        at(&self.state.lock().machine)
    }

    fn lend<T>(&self, act: impl FnOnce(&mut Machine, Instant) -> T) -> T {
        let mut state = self.state.lock();
        let done = act(&mut state.machine, clock::now());
        while let Some((ticket, result)) = state.machine.poll_settled() {
            if let Some(waiting) = state.waiting.remove(&ticket) {
                let _ = waiting.result.send(result); // Who pushed it may not want to know.
            }
        }
        if state.machine.is_ended() {
            state.waiting.clear();
            self.room.close();
        }
        done
    }

    /// Waits for room in the queue, and takes responsibility for `message`.
    pub(super) async fn push(&self, message: Message) -> Result<Pushed, PushError> {
        check_length(&message)?;
        let bytes = message.len().max(Self::LEAST_ROOM);
        let room = u32::try_from(bytes).expect("a push is not that long");
        let room = Arc::clone(&self.room).acquire_many_owned(room).await;
        let room = room.map_err(|_| PushError::Ended)?;
        let (result, settled) = oneshot::channel();
        {
            let mut state = self.state.lock();
            let ticket = state.machine.push(message).ok_or(PushError::Ended)?;
            state.waiting.insert(ticket, Waiting { result, _room: room });
        }
        self.transmit.notify_one();
        Ok(Pushed::new(settled))
    }
}

/// The longest a push may be as it is sent: a node refuses longer ones.
const MAX_PUSH_BYTES: usize = 1 << 20;

/// How much longer than a message what is sent may be: each character of six, and a key.
const LONGER: usize = 6;
const MAX_KEY_BYTES: usize = 128;

/// Whether a node would take this message.
fn check_length(message: &Message) -> Result<(), PushError> {
    if message.len().saturating_mul(LONGER) <= MAX_PUSH_BYTES - MAX_KEY_BYTES {
        return Ok(()); // However it is written.
    }
    let key = PushKey::Counted { epoch: u64::MAX, number: u64::MAX };
    let bytes = FromClient::Push { key, message: message.clone() }.encode().len();
    match bytes <= MAX_PUSH_BYTES {
        true => Ok(()),
        false => Err(PushError::TooLarge { bytes, limit: MAX_PUSH_BYTES }),
    }
}
