//! Which handler answers for which path.

mod table;

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::{
    id::{Principal, SessionId, TopicName},
    proto::{Close, Core},
    runtime::{
        Bare, Call, Callee, Counted, Duty, Front, Happening, Hub, Line, Mailbox, Tasks, because,
    },
    session::Session,
    websocket::{AnyWebSocketHandler, WebSocket},
};

pub use table::{InvalidRoute, RouteInfo, SwapError};
pub(crate) use table::{Route, Table};

use table::Seat;

/// The routes of a node, and the mailboxes of the sessions that are in use.
pub(crate) struct Routes {
    table: Table,
    hub: Arc<Hub>,
    clients: Tasks,
    /// A mailbox lives as long as somebody delivers to it or it is being run.
    mailboxes: Mutex<Mailboxes>,
}

#[derive(Default)]
struct Mailboxes {
    by_session: HashMap<SessionId, Weak<Mailbox>>,
    /// At which size those that are gone are looked for.
    sweep_at: usize,
}

impl Routes {
    /// Handlers run as tasks of `clients`, which shutdown waits for.
    pub(crate) fn new(table: Table, hub: Arc<Hub>, clients: Tasks) -> Self {
        Self { table, hub, clients, mailboxes: Mutex::default() }
    }

    /// Tells handlers what no client's connection brings, until the node ends.
    pub(crate) async fn attend(self: Arc<Self>, mut duties: mpsc::UnboundedReceiver<Duty>) {
        let ending = self.hub.tasks().clone();
        while let Some(duty) = tokio::select! {
            biased;
            duty = duties.recv() => duty,
            () = ending.cancelled() => None,
        } {
            let (session, call) = match duty {
                Duty::Ended(session, reason) => (session, Call::Disconnect(reason)),
                Duty::Pushed(session) => (session, Call::Push),
            };
            let principal = session.holder.principal.as_ref();
            if let Some(mailbox) = self.mailbox(session.id, &session.path, principal) {
                mailbox.post(call);
            }
        }
    }

    /// The handlers, by their templates and names.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The session `id`, wherever its client is, if this node has heard of it.
    pub(crate) fn locate(&self, id: SessionId) -> Option<Session> {
        let look = |core: &Core| {
            let known = core.replica().session(id)?;
            Some((Arc::clone(&known.path), known.holder.principal.clone()))
        };
        let (path, principal) = self.hub.with(|core, _| look(core))?;
        let found = self.table.at(&path);
        let params = found.map_or_else(Vec::new, |found| own(&found.params));
        let name = TopicName::parse(&path).ok()?;
        Some(Session::new(id, name, params, principal, Arc::clone(&self.hub)))
    }

    fn open(
        &self,
        session: SessionId,
        path: &str,
        principal: Option<&Principal>,
    ) -> Option<Arc<Mailbox>> {
        let (session, seat) = self.bind(session, path, principal)?;
        let bound = Bound { session, seat, hub: Arc::clone(&self.hub) };
        Some(Arc::new(Mailbox::new(bound, self.clients.clone())))
    }

    fn bind(
        &self,
        session: SessionId,
        path: &str,
        principal: Option<&Principal>,
    ) -> Option<(Session, Arc<Seat>)> {
        let found = self.table.at(path)?;
        let Route::Sessions(seat) = found.value else { return None };
        let name = TopicName::parse(path).ok()?;
        let (params, hub) = (own(&found.params), Arc::clone(&self.hub));
        let session = Session::new(session, name, params, principal.cloned(), hub);
        Some((session, Arc::clone(seat)))
    }
}

impl Front for Routes {
    fn has_route(&self, path: &str) -> bool {
        self.table.at(path).is_some_and(|found| matches!(found.value, Route::Sessions(_)))
    }

    fn mailbox(
        &self,
        session: SessionId,
        path: &str,
        principal: Option<&Principal>,
    ) -> Option<Arc<Mailbox>> {
        let mut mailboxes = self.mailboxes.lock();
        if let Some(mailbox) = mailboxes.by_session.get(&session).and_then(Weak::upgrade) {
            return Some(mailbox);
        }
        let mailbox = self.open(session, path, principal)?;
        if mailboxes.by_session.len() >= mailboxes.sweep_at {
            mailboxes.by_session.retain(|_, mailbox| mailbox.strong_count() > 0);
            mailboxes.sweep_at = 64 + 2 * mailboxes.by_session.len();
        }
        mailboxes.by_session.insert(session, Arc::downgrade(&mailbox));
        Some(mailbox)
    }

    fn request<'a>(
        &'a self,
        session: SessionId,
        path: &str,
        principal: Option<&Principal>,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Option<Response<Bytes>>> + Send + 'a>> {
        let bound = self.bind(session, path, principal);
        Box::pin(async move {
            let (session, seat) = bound?;
            seat.handler().request(&session, request).await
        })
    }

    fn visitor(
        &self,
        session: SessionId,
        path: &str,
        principal: Option<&Principal>,
    ) -> Option<Arc<Mailbox>> {
        self.open(session, path, principal)
    }

    fn is_bare(&self, path: &str) -> bool {
        self.table.at(path).is_some_and(|found| matches!(found.value, Route::WebSockets(_)))
    }

    fn bare(&self, path: &str, principal: Option<Principal>) -> Option<Bare> {
        let found = self.table.at(path)?;
        let Route::WebSockets(handler) = found.value else { return None };
        let (name, line) = (TopicName::parse(path).ok()?, Arc::new(Line::new()));
        let (hub, params) = (Arc::clone(&self.hub), own(&found.params));
        let socket = WebSocket::new(name, params, principal, Arc::clone(&line), hub);
        let bound = BoundSocket { socket, handler: Arc::clone(handler), line: Arc::clone(&line) };
        let mailbox = Arc::new(Mailbox::new(bound, self.clients.clone()));
        let counted = Counted::new(Arc::clone(&self.hub));
        Some(Bare { mailbox, line, whole_bytes: handler.whole_bytes(), counted })
    }
}

fn own(params: &matchit::Params<'_, '_>) -> Vec<(String, String)> {
    params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").finish_non_exhaustive()
    }
}

/// A route's handler, whichever it is, bound to a session that it is told about.
struct Bound {
    session: Session,
    seat: Arc<Seat>,
    hub: Arc<Hub>,
}

impl Bound {
    /// Tells the handler its first word about the session, unless it has had it.
    async fn ready(&self) -> Result<(), Close> {
        let id = self.session.id();
        let is_due = |core: &Core| core.replica().session(id).is_some_and(|known| !known.ready);
        if self.hub.with(|core, _| is_due(core)) {
            self.seat.handler().call(&self.session, Call::Ready).await?;
            self.hub.with(|core, now| core.set_ready(id, now));
        }
        Ok(())
    }

    /// Tells the handler of the next push, unless it was told of all, or another node does.
    async fn push(&self) -> Result<(), Close> {
        let id = self.session.id();
        self.ready().await?;
        let Some((key, message)) = self.hub.with(|core, now| core.begin_push(id, now)) else {
            return Ok(());
        };
        self.hub.counters().received();
        let handler = self.seat.handler();
        let told = handler.call(&self.session, Call::Message(message));
        let said = because(id, key.clone(), told).await;
        self.hub.with(|core, now| core.finish_push(id, &key, now));
        said
    }
}

impl Callee for Bound {
    fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Result<(), Close>> + Send + '_>> {
        Box::pin(async move {
            let began = self.hub.counters().begin_call();
            if matches!(call, Call::Message(_)) {
                self.hub.counters().received();
            }
            let said = match call {
                Call::Ready => self.ready().await,
                Call::Push => self.push().await,
                Call::Message(_) => {
                    self.ready().await?;
                    self.seat.handler().call(&self.session, call).await
                }
                _ => self.seat.handler().call(&self.session, call).await,
            };
            self.hub.counters().end_call(began);
            said
        })
    }

    fn end(&self, close: Close) {
        self.session.close(close);
    }
}

/// A handler of bare WebSockets, bound to the one that it is told about.
struct BoundSocket {
    socket: WebSocket,
    handler: Arc<dyn AnyWebSocketHandler>,
    line: Arc<Line>,
}

impl Callee<Happening> for BoundSocket {
    fn call(
        &self,
        happening: Happening,
    ) -> Pin<Box<dyn Future<Output = Result<(), Close>> + Send + '_>> {
        self.handler.call(&self.socket, happening)
    }

    fn end(&self, close: Close) {
        self.line.close(close.code.get(), close.reason);
    }
}
