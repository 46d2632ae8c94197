//! Who makes a request: as the application says, and as the browser's cookie does.

use std::{fmt, future::Future, pin::Pin};

use bytes::Bytes;
use http::{Response, header, request::Parts};

use super::{Body, Cookies, Origin, Slot};
use crate::{id::Principal, proto::Holder};

/// The application's word on who makes a request, or its answer to who may not.
pub(crate) type Authenticated =
    Pin<Box<dyn Future<Output = Result<Option<Principal>, Response<Bytes>>> + Send>>;

/// Asks the application who makes a request.
pub(crate) type Authenticate = Box<dyn Fn(Parts) -> Authenticated + Send + Sync>;

/// Finds out who makes a request.
#[derive(Default)]
pub(crate) struct Reception {
    pub(crate) authenticate: Option<Authenticate>,
    pub(crate) cookies: Option<Cookies>,
    /// Whether browsers are given cookies.
    pub(crate) gives_cookies: bool,
}

impl Reception {
    /// Who makes a request, and shows what a session of its is found by.
    ///
    /// # Errors
    ///
    /// The application's answer to who may make none.
    pub(super) async fn receive(&self, request: &Parts) -> Result<Holder, Response<Bytes>> {
        let browser = self.cookies.as_ref().and_then(|it| it.read(&request.headers));
        Ok(Holder::new(self.principal(request).await?, browser))
    }

    /// Gives a browser its cookie with the answer that begins a session, unless it has one.
    pub(super) fn offer_cookie(
        &self,
        response: &mut Response<Body>,
        request: &Parts,
        holder: &Holder,
    ) {
        let is_due = self.gives_cookies && holder.browser.is_none();
        if let Some(cookies) = self.cookies.as_ref().filter(|_| is_due) {
            let slot = request.extensions.get::<Slot>();
            let is_secure =
                slot.is_some_and(|slot| slot.is_secure) || Origin::is_secure(&request.headers);
            response.headers_mut().append(header::SET_COOKIE, cookies.fresh(is_secure));
        }
    }

    /// Who makes a request that no browser makes.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub(super) async fn principal(
        &self,
        request: &Parts,
    ) -> Result<Option<Principal>, Response<Bytes>> {
        match &self.authenticate {
            Some(authenticate) => authenticate(request.clone()).await,
            // What the server that the node is mounted in has found out.
            None => Ok(request.extensions.get::<Principal>().cloned()),
        }
    }
}

impl fmt::Debug for Reception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reception").field("cookies", &self.cookies).finish_non_exhaustive()
    }
}
