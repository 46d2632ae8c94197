//! The HTTP API: one file for each thing that is asked for.

mod audit;
mod cluster;
mod everywhere;
mod messages;
mod node_operations;
mod nodes;
mod paging;
mod session_operations;
mod sessions;
mod statistics;
mod topic_operations;
mod topics;
mod tracked;

use axum::{Json, Router, routing::get};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        OpenApi, Ref, RefOr, ResponseBuilder,
        content::ContentBuilder,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::router::OpenApiRouter;

use super::{
    problem::{self, Problem},
    server::Desk,
};

/// All of it.
pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new()
        .merge(audit::routes())
        .merge(cluster::routes())
        .merge(messages::routes())
        .merge(node_operations::routes())
        .merge(nodes::routes())
        .merge(session_operations::routes())
        .merge(sessions::routes())
        .merge(statistics::routes())
        .merge(topic_operations::routes())
        .merge(topics::routes())
        .merge(tracked::routes())
}

/// Where the API is described.
pub(super) fn description(mut api: OpenApi) -> Router<Desk> {
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = api.components.get_or_insert_default();
    components.add_security_scheme("token", scheme);
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    api.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>("token", [])]);
    let refusal =
        ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    let refusal = ResponseBuilder::new()
        .description("What went wrong, and what helps")
        .content(problem::MEDIA_TYPE, refusal)
        .build();
    for item in api.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch];
        for operation in operations.into_iter().chain([&mut item.delete]).flatten() {
            let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
            let verb = operation.operation_id.take().unwrap_or_default();
            // The same verb may be of several things.
            operation.operation_id = Some(format!("{tag}.{verb}"));
            let responses = &mut operation.responses.responses;
            for response in responses.values_mut() {
                if let RefOr::T(response) = response {
                    response.description = "What was asked for".to_owned();
                }
            }
            responses.insert("default".to_owned(), refusal.clone().into());
        }
    }
    Router::new().route("/api/v1/openapi.json", get(async move || Json(api)))
}
