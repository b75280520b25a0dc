//! The `log` crate on Envoy's application log, and the panic hook. Every message is
//! one line in which nothing acts on a terminal, whatever stands in it.

use crate::host::abi;
use crate::metrics::{Kind, label};
use crate::record::PANICS;
use crate::text;

struct HostLogger;

static LOGGER: HostLogger = HostLogger;

impl log::Log for HostLogger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = match record.level() {
                log::Level::Trace => 0,
                log::Level::Debug => 1,
                log::Level::Info => 2,
                log::Level::Warn => 3,
                log::Level::Error => 4,
            };
            let line = text::one_line(record.args().to_string());
            abi::log(level, line.as_bytes());
        }
    }

    fn flush(&self) {}
}

/// Installs logger and panic hook. A panic is a bug of ours; it is logged with
/// its place and counted in `meshpack_panics_total{module}` before the VM dies.
pub(crate) fn install(module: &'static str) {
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(log::LevelFilter::Info);
    if cfg!(target_arch = "wasm32") {
        std::panic::set_hook(Box::new(move |info| {
            let line = text::one_line(format!("{module}: {info}"));
            abi::log(5, line.as_bytes());
            let labels = [("module", module.as_bytes())];
            let name = label::stat_name(PANICS.name, labels, 100);
            if let Ok(id) = abi::define_metric(Kind::Counter as u32, name.as_bytes()) {
                let _ = abi::increment_metric(id, 1);
            }
        }));
    }
}

/// Follows Envoy's log level, so that a message nobody would see costs nothing.
pub(crate) fn follow_host_level() {
    log::set_max_level(match abi::log_level() {
        Ok(0) => log::LevelFilter::Trace,
        Ok(1) => log::LevelFilter::Debug,
        Ok(2) | Err(_) => log::LevelFilter::Info,
        Ok(3) => log::LevelFilter::Warn,
        Ok(4) => log::LevelFilter::Error,
        Ok(_) => log::LevelFilter::Off,
    });
}
