//! The built `meshpack` command, and the pages that show it.

mod bundle;
mod bundle_registry;
mod check;
mod check_wrong_inputs;
mod command_line;
mod common;
mod docs_commands;
mod docs_explain;
mod docs_verify;
mod explain;
mod explain_filters;
mod explain_in_envoy;
mod mesh_manifests;
mod registry;
mod stats_tags;
mod translate;
mod translate_attachment;
mod translate_docs;
mod translate_losses;
mod translate_places;
mod translate_routes;
mod translate_silence;
mod translate_telemetry;
mod verify;
mod verify_backends;
mod verify_failures;
