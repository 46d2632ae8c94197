//! Handlers, by their path templates and by their names.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use thiserror::Error;

use crate::{handler::AnyHandler, websocket::AnyWebSocketHandler};

/// Who answers for which path.
#[derive(Default)]
pub(crate) struct Table {
    routes: matchit::Router<Route>,
    templates: BTreeMap<String, Route>,
    /// Handlers that routes can be given, by name.
    handlers: BTreeMap<String, Arc<dyn AnyHandler>>,
}

/// Who answers for the paths of a template.
#[derive(Clone)]
pub(crate) enum Route {
    Sessions(Arc<Seat>),
    WebSockets(Arc<dyn AnyWebSocketHandler>),
}

impl Route {
    /// A route whose sessions are `handler`'s, until it is given another.
    pub(crate) fn sessions(template: &str, handler: Arc<dyn AnyHandler>) -> Self {
        let name = template.to_owned();
        Self::Sessions(Arc::new(Seat(RwLock::new(Holder { name, handler }))))
    }
}

/// The place of a route's handler.
pub(crate) struct Seat(RwLock<Holder>);

struct Holder {
    name: String,
    handler: Arc<dyn AnyHandler>,
}

impl Seat {
    /// Who has the place now.
    pub(crate) fn handler(&self) -> Arc<dyn AnyHandler> {
        Arc::clone(&self.0.read().handler)
    }

    fn name(&self) -> String {
        self.0.read().name.clone()
    }
}

impl Table {
    /// Lets somebody answer for the paths of `template`.
    pub(crate) fn insert(&mut self, template: &str, route: Route) -> Result<(), InvalidRoute> {
        let invalid = |why: String| InvalidRoute { template: template.to_owned(), why };
        if !template.starts_with('/') {
            return Err(invalid("it does not begin with a slash".to_owned()));
        }
        let inserted = self.routes.insert(template, route.clone());
        inserted.map_err(|err| invalid(err.to_string()))?;
        if let Route::Sessions(seat) = &route {
            self.name(template, seat.handler());
        }
        self.templates.insert(template.to_owned(), route);
        Ok(())
    }

    /// Calls a handler by a name, by which routes can be given it.
    pub(crate) fn name(&mut self, name: &str, handler: Arc<dyn AnyHandler>) {
        self.handlers.insert(name.to_owned(), handler);
    }

    /// Gives the sessions of a route to another handler.
    pub(crate) fn swap(&self, template: &str, name: &str) -> Result<(), SwapError> {
        let Some(Route::Sessions(seat)) = self.templates.get(template) else {
            return Err(SwapError::NoRoute);
        };
        let handler = self.handlers.get(name).ok_or(SwapError::NoHandler)?;
        let (name, handler) = (name.to_owned(), Arc::clone(handler));
        *seat.0.write() = Holder { name, handler };
        Ok(())
    }

    /// Who answers for a path, and what stands in it for parameters.
    pub(super) fn at<'a, 'p>(&'a self, path: &'p str) -> Option<matchit::Match<'a, 'p, &'a Route>> {
        self.routes.at(path).ok()
    }

    /// The routes, by template.
    pub(crate) fn routes(&self) -> Vec<RouteInfo> {
        let routes = self.templates.iter().map(|(template, route)| {
            let handler = match route {
                Route::Sessions(seat) => Some(seat.name()),
                Route::WebSockets(_) => None,
            };
            RouteInfo { template: template.clone(), handler }
        });
        routes.collect()
    }

    /// The names of the handlers that routes can be given.
    pub(crate) fn handlers(&self) -> Vec<String> {
        self.handlers.keys().cloned().collect()
    }
}

/// A route of a node.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RouteInfo {
    /// Its path, with its parameters.
    pub template: String,
    /// What the handler is called that has its sessions: as the route itself, unless it was
    /// [given](crate::Node::swap) another. `None` for a route of bare WebSockets.
    pub handler: Option<String>,
}

/// A route that cannot be: its template is malformed, or stands for paths of another one.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("the route {template:?} cannot be: {why}")]
#[non_exhaustive]
pub struct InvalidRoute {
    /// The template.
    pub template: String,
    /// What is wrong with it.
    pub why: String,
}

/// Why a route has the handler that it had.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SwapError {
    /// No route of sessions has this template. Trying again does not help.
    #[error("there is no such route of sessions")]
    NoRoute,
    /// No handler has this name. Trying again does not help; starting the node with
    /// [one](crate::Builder::handler) does.
    #[error("no handler has this name")]
    NoHandler,
}
