//! The HTTP API: one file for each thing that is asked for.

mod audit;
mod cluster;
mod paging;
mod sessions;
mod topics;

use axum::{Json, Router, routing::get};
use utoipa::openapi::{
    OpenApi,
    security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;

use super::server::Desk;

/// All of it.
pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new()
        .merge(audit::routes())
        .merge(cluster::routes())
        .merge(sessions::routes())
        .merge(topics::routes())
}

/// Where the API is described.
pub(super) fn description(mut api: OpenApi) -> Router<Desk> {
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = api.components.get_or_insert_default();
    components.add_security_scheme("token", scheme);
    api.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("token", [])]);
    Router::new().route("/api/v1/openapi.json", get(async move || Json(api)))
}
