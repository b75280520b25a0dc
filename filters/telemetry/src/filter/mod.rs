//! The filter: gathers what the core asks for and applies what it says.

mod custom;
mod golden;
mod host;
mod logger;
mod lookup;
mod shape;
mod values;

use std::time::Duration;

use meshpack_sdk::attributes::Attribute;
use meshpack_sdk::config::{Problem, Value};
use meshpack_sdk::metrics::CounterFamily;
use meshpack_sdk::{
    CalloutId, CalloutResponse, Filter, Flow, Log, RequestHeaders, Shutdown, clock, done,
};

use crate::config::{self, Config, MetricKind};
use crate::policy::access_log::Resource;
use crate::policy::engine::Slot;
use crate::policy::golden::is_grpc;
use crate::policy::sample::Share;
use crate::policy::trace::{self, TraceContext};
use crate::record::{EXPRESSION_ERRORS, OVERFLOW};
use custom::Custom;
use golden::Golden;
use host::{Handle, HostStats, Node};
use logger::Logger;
use values::Values;

/// What the filter has to do anyway once a second.
const TICK: Duration = Duration::from_secs(1);
/// Flags of a trace that starts here: sampled, and (level 2) a random trace id.
const SAMPLED: u8 = 0x01;
const RANDOM: u8 = 0x02;

/// The telemetry filter.
#[derive(Debug)]
pub struct Telemetry {
    stats: HostStats,
    /// What is read at the end of each request.
    values: Values,
    golden: Option<Golden>,
    custom: Vec<Custom>,
    /// What is read at its start, and the gauges that go up then.
    start: Option<Start>,
    logger: Option<Logger>,
    trace: Option<Trace>,
    /// What other filters want at the end of a request.
    for_others: Vec<(&'static Attribute<i64>, Slot)>,
    counts: Counts,
    tick: Duration,
    /// Time of the last tick; good enough for what is remembered and queued.
    now: Duration,
    key: Vec<u8>,
}

#[derive(Debug)]
struct Start {
    values: Values,
    gauges: Vec<Custom>,
}

#[derive(Debug, Clone, Copy)]
struct Trace {
    generate_when_missing: bool,
    /// Share of the access log, which a trace that starts here follows.
    share: Share,
}

/// Counters of what went wrong.
#[derive(Debug)]
struct Counts {
    failed: CounterFamily,
    overflowed: CounterFamily,
}

impl Counts {
    fn new() -> Self {
        Self {
            failed: CounterFamily::new(EXPRESSION_ERRORS.name, &["failed_expression"], 100),
            overflowed: CounterFamily::new(OVERFLOW.name, &["overflowed_metric"], 100),
        }
    }

    fn add(family: &mut CounterFamily, value: &str) {
        if let Ok(counter) = family.with(&[value.as_bytes()]) {
            counter.add(1);
        }
    }
}

/// What is remembered of a request until its end.
#[derive(Debug, Default)]
pub struct Stream {
    trace: Option<TraceContext>,
    gauges: Vec<(Handle, i64)>,
    /// Whether it is a gRPC call, if somebody read the headers anyway.
    grpc: Option<bool>,
}

impl Filter for Telemetry {
    const NAME: &'static str = crate::RECORD.name;

    type Config = Config;
    type Stream = Stream;

    fn read(value: Value<'_>) -> Option<Config> {
        config::read(&value)
    }

    fn start(config: Config) -> Result<Self, Vec<Problem>> {
        let node = Node::read();
        let mut problems = Vec::new();
        let mut values = Values::new(&config);
        let golden = Golden::new(&config, &node, &mut values);
        if golden.is_none() && !config.golden.is_empty() {
            problems.push(Problem::new(
                "golden",
                "Envoy's CEL engine is not there: this needs an Envoy built with it",
            ));
        }
        let gauge = |metric: &&config::Metric| metric.kind == MetricKind::Gauge;
        let custom = config
            .metrics
            .iter()
            .filter(|metric| !gauge(metric))
            .map(|metric| Custom::new(metric, &config, &mut values))
            .collect();
        let mut start = Values::new(&config);
        let gauges: Vec<Custom> = config
            .metrics
            .iter()
            .filter(gauge)
            .map(|metric| Custom::new(metric, &config, &mut start))
            .collect();
        let logger = match &config.access_log {
            None => None,
            Some(log) => {
                let resource = Resource {
                    attributes: node.resource.clone(),
                };
                Logger::new(log, &config, &mut values, resource)
                    .map_err(|found| problems.extend(found))
                    .ok()
            }
        };
        problems.extend(values.compile());
        problems.extend(start.compile());
        if !problems.is_empty() {
            return Err(problems);
        }
        let share = config
            .access_log
            .as_ref()
            .map_or(Share::percent(100.0), |log| log.share);
        Ok(Self {
            stats: HostStats::new(Self::NAME),
            values,
            golden,
            custom,
            start: (!gauges.is_empty()).then_some(Start {
                values: start,
                gauges,
            }),
            logger,
            trace: config.trace.map(|trace| Trace {
                generate_when_missing: trace.generate_when_missing,
                share,
            }),
            for_others: Vec::new(),
            counts: Counts::new(),
            tick: config.access_log.map_or(TICK, |log| log.interval.min(TICK)),
            now: clock::now(),
            key: Vec::with_capacity(512),
        })
    }

    fn on_request_headers(
        &mut self,
        cx: &mut RequestHeaders<'_>,
        stream: &mut Option<Stream>,
    ) -> Flow {
        let state = stream.insert(Stream::default());
        if let Some(trace) = self.trace {
            state.trace = trace.apply(cx);
        }
        if let Some(start) = &mut self.start {
            let Counts { failed, overflowed } = &mut self.counts;
            start
                .values
                .evaluate(false, |path| Counts::add(failed, path));
            for gauge in &mut start.gauges {
                let recorded =
                    gauge.record(&mut self.key, &start.values, &self.stats, &mut |metric| {
                        Counts::add(overflowed, metric);
                    });
                state.gauges.extend(recorded);
            }
        }
        if let Some(headers) = cx.headers_if_read() {
            let content_type = headers.get(b"content-type");
            state.grpc = Some(content_type.is_some_and(is_grpc));
        }
        Flow::Continue
    }

    fn reads_at_end(&mut self, wanted: &[&'static Attribute<i64>]) -> bool {
        // Alone it would be an evaluation for its own sake.
        if wanted.is_empty() || self.values.batch.is_empty() {
            return false;
        }
        let slots = wanted.iter().map(|attribute| {
            let slot = self.values.attribute(attribute.path())?;
            Some((*attribute, slot))
        });
        let Some(slots) = slots.collect() else {
            return false;
        };
        self.for_others = slots;
        self.values.compile().is_empty()
    }

    fn on_log(&mut self, cx: &mut Log<'_>, stream: Option<Stream>) {
        let Counts { failed, overflowed } = &mut self.counts;
        let mut overflow = |metric: &str| Counts::add(overflowed, metric);
        let Stream {
            trace,
            gauges,
            grpc,
        } = stream.unwrap_or_default();
        if !self.values.batch.is_empty() {
            self.values
                .evaluate(grpc.is_some(), |path| Counts::add(failed, path));
        }
        for (attribute, slot) in &self.for_others {
            if let Some(value) = self.values.batch.integer(*slot) {
                cx.note(attribute, value);
            }
        }
        if let Some(golden) = &mut self.golden {
            golden.record(&self.values, grpc, &self.stats, self.now, &mut overflow);
        }
        for metric in &mut self.custom {
            metric.record(&mut self.key, &self.values, &self.stats, &mut overflow);
        }
        for (handle, amount) in gauges {
            handle.record(-amount);
        }
        if let Some(logger) = &mut self.logger {
            logger.log(&self.values, trace, self.now, &mut |path| {
                Counts::add(failed, path)
            });
        }
    }

    fn tick_period(&self) -> Option<Duration> {
        Some(self.tick)
    }

    fn on_tick(&mut self) {
        self.now = clock::now();
        if let Some(export) = self.logger.as_mut().and_then(Logger::export)
            && !export.is_closing()
        {
            export.send_next(self.now, false);
        }
    }

    fn on_http_call_response(&mut self, id: CalloutId, response: &mut CalloutResponse<'_>) {
        let now = clock::now();
        if let Some(export) = self.logger.as_mut().and_then(Logger::export)
            && export.on_answer(
                id,
                response.status(),
                response.body().unwrap_or_default(),
                now,
            )
            && export.is_closed()
        {
            done();
        }
    }

    fn on_shutdown(&mut self) -> Shutdown {
        let export = self.logger.as_mut().and_then(Logger::export);
        if export.is_none_or(|export| export.close(clock::now())) {
            Shutdown::Done
        } else {
            Shutdown::Pending
        }
    }
}

impl Trace {
    /// Judges the trace headers, mends them, and says which trace it is.
    fn apply(self, cx: &mut RequestHeaders<'_>) -> Option<TraceContext> {
        let headers = match cx.headers() {
            Ok(headers) => headers,
            Err(error) => {
                ::log::debug!("telemetry: the request headers can not be read: {error}");
                return None;
            }
        };
        let judged = trace::judge(
            headers.get_all(b"traceparent"),
            headers.get_all(b"tracestate"),
            |missing| match missing {
                trace::Missing::Absent if !self.generate_when_missing => None,
                _ => self.fresh(),
            },
        );
        let written = match &judged.traceparent {
            Some(value) => cx.set_header(b"traceparent", value.as_bytes()),
            None => Ok(()),
        };
        let dropped = if judged.drop_tracestate {
            cx.remove_header(b"tracestate")
        } else {
            Ok(())
        };
        if let Err(error) = written.and(dropped) {
            ::log::debug!("telemetry: the trace headers can not be written: {error}");
        }
        judged.context
    }

    /// A new trace, sampled if the access log takes it, so that logs and spans
    /// of one trace are kept or left together.
    fn fresh(self) -> Option<TraceContext> {
        let mut trace_id = [0; 16];
        let (high, low) = trace_id.split_at_mut(8);
        high.copy_from_slice(&clock::secure_random().to_be_bytes());
        low.copy_from_slice(&clock::secure_random().to_be_bytes());
        let parent_id = clock::secure_random().to_be_bytes();
        let unsampled = TraceContext::new(trace_id, parent_id, RANDOM)?;
        if logger::sampled_by_trace(self.share, &unsampled) {
            TraceContext::new(trace_id, parent_id, RANDOM | SAMPLED)
        } else {
            Some(unsampled)
        }
    }
}
