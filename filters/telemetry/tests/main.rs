//! The filter on a mock host, its schema and its page.

mod page;
mod plugin;
mod schema;
