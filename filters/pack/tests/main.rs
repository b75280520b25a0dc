//! What the parts cost and say when they are one module.

mod any_order;
mod loading;
mod record;
mod schema;
