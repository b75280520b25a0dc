//! What the parts cost and say when they are one module.

mod loading;
mod schema;
