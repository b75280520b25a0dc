//! Makes access log records and sends them.

use std::time::Duration;

use meshpack_sdk::metrics::{Counter, CounterFamily, Gauge};
use meshpack_sdk::{Callout, CalloutId, HeaderError, HostError, clock, with_foreign_function};

use super::values::{Shown, Values};
use crate::config::{AccessLog, Config, Sink};
use crate::policy::access_log::{
    Answer, Dropped, FieldValue, Queue, Record, Resource, STANDARD_FIELDS, encode_record,
    encode_request, gzip_from_zlib, rejected_records,
};
use crate::policy::engine::ResultType;
use crate::policy::engine::Slot;
use crate::policy::sample::{Share, spread};
use crate::policy::trace::{TraceContext, Traceparent};
use crate::record::{DROPPED, EXPORT_FAILURES, QUEUED, RECORDS, SENT};

/// Smaller bodies do not get smaller by compression.
const COMPRESS_FROM: usize = 1024;

/// The access log.
#[derive(Debug)]
pub(super) struct Logger {
    share: Share,
    /// In the request's batch: whether the request is logged in any case.
    always: Option<Slot>,
    /// In the request's batch: what the sampling goes by.
    traceparent: Option<Slot>,
    request_id: Option<Slot>,
    /// The record's own batch: evaluated only for requests that are logged.
    values: Values,
    start: Option<Slot>,
    code: Option<Slot>,
    standard: Vec<(&'static str, Slot)>,
    fields: Vec<(String, Shown)>,
    export: Option<Export>,
    made: Option<Counter>,
}

impl Logger {
    pub(super) fn new(
        log: &AccessLog,
        config: &Config,
        request: &mut Values,
        resource: Resource,
    ) -> Result<Self, Vec<meshpack_sdk::config::Problem>> {
        let always = log.always.as_ref().and_then(|always| request.slot(always));
        // Not needed to sample everything, but records carry the trace id.
        let traceparent =
            "\"traceparent\" in request.headers ? request.headers[\"traceparent\"] : \"\"";
        let traceparent = request
            .batch
            .add_own(traceparent, traceparent, ResultType::Text);
        let request_id = "has(request.id) ? request.id : \"\"";
        let request_id = request
            .batch
            .add_own(request_id, request_id, ResultType::Text);

        let mut values = Values::new(config);
        let start = values
            .batch
            .add_own("request.time", "request.time", ResultType::Int);
        let standard: Vec<_> = STANDARD_FIELDS
            .iter()
            .filter_map(|field| {
                let slot = values.batch.add_own(field.cel, field.cel, field.result)?;
                Some((field.name, slot))
            })
            .collect();
        let code = standard
            .iter()
            .find(|(name, _)| *name == "response_code")
            .map(|(_, slot)| *slot);
        let fields = log
            .fields
            .iter()
            .map(|field| (field.name.clone(), values.show(&field.source)))
            .collect();
        let problems = values.compile();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            share: log.share,
            always,
            traceparent,
            request_id,
            values,
            start,
            code,
            standard,
            fields,
            export: Export::new(log, resource),
            made: Counter::define(RECORDS.name).ok(),
        })
    }

    /// Logs the request in hand if it is sampled. `trace` is the context that
    /// this filter gave it or found; without trace handling it is read here.
    pub(super) fn log(
        &mut self,
        request: &Values,
        trace: Option<TraceContext>,
        now: Duration,
        failed: &mut dyn FnMut(&str),
    ) {
        let header = self
            .traceparent
            .map(|slot| request.batch.bytes(slot))
            .unwrap_or_default();
        let trace = trace.or_else(|| Traceparent::parse(header).map(|parsed| parsed.context));
        let always = self.always.is_some() && request.holds(self.always);
        if !always && !self.sampled(request, trace) {
            return;
        }
        self.values.evaluate(false, failed);
        let record = self.record(trace);
        if let Some(made) = self.made {
            made.add(1);
        }
        match &mut self.export {
            Some(export) => export.push(encode_record(record), now),
            None => ::log::info!("{}", record.to_json()),
        }
    }

    fn sampled(&self, request: &Values, trace: Option<TraceContext>) -> bool {
        if self.share.is_none() {
            return false;
        }
        if let Some(trace) = trace {
            return sampled_by_trace(self.share, &trace);
        }
        let id = self
            .request_id
            .map(|slot| request.batch.bytes(slot))
            .unwrap_or_default();
        let hash = if id.is_empty() {
            clock::random()
        } else {
            spread(id)
        };
        self.share.takes(hash)
    }

    fn record(&self, trace: Option<TraceContext>) -> Record {
        let batch = &self.values.batch;
        let start = self.start.and_then(|slot| batch.integer(slot)).unwrap_or(0);
        let mut record = Record {
            start: u64::try_from(start).unwrap_or(0),
            observed: u64::try_from(clock::now().as_nanos()).unwrap_or(0),
            code: self.code.and_then(|slot| batch.integer(slot)).unwrap_or(0),
            trace,
            fields: Vec::with_capacity(self.standard.len() + self.fields.len()),
        };
        for (name, slot) in &self.standard {
            if let Some(value) = self.value(*slot) {
                record.fields.push(((*name).to_owned(), value));
            }
        }
        for (name, shown) in &self.fields {
            let value = match shown {
                Shown::Slot(slot) => self.value(*slot),
                other => self.values.shown(other).map(|text| FieldValue::text(&text)),
            };
            record.set(
                name,
                value.unwrap_or_else(|| FieldValue::Text("unknown".to_owned())),
            );
        }
        record
    }

    /// A value as a field; `None` when there is none.
    fn value(&self, slot: Slot) -> Option<FieldValue> {
        let batch = &self.values.batch;
        let bytes = batch.bytes(slot);
        if bytes.is_empty() {
            return None;
        }
        Some(match batch.result(slot)? {
            ResultType::Text => FieldValue::text(bytes),
            ResultType::Bool => FieldValue::Bool(bytes != [0]),
            ResultType::Int | ResultType::Nanoseconds => FieldValue::Int(batch.integer(slot)?),
        })
    }

    pub(super) fn export(&mut self) -> Option<&mut Export> {
        self.export.as_mut()
    }
}

/// Whether a trace is logged: every proxy that sees it decides alike.
pub(super) fn sampled_by_trace(share: Share, trace: &TraceContext) -> bool {
    share.takes(spread(trace.trace_id()))
}

/// The way to the collector.
#[derive(Debug)]
pub(super) struct Export {
    cluster: String,
    path: String,
    authority: String,
    timeout: Duration,
    resource: Resource,
    queue: Queue,
    under_way: Option<CalloutId>,
    closing: bool,
    sent: Option<Counter>,
    failures: Option<Counter>,
    dropped: CounterFamily,
    queued: Option<Gauge>,
    shown: usize,
}

impl Export {
    fn new(log: &AccessLog, resource: Resource) -> Option<Self> {
        let Sink::OtlpHttp {
            cluster,
            path,
            authority,
            timeout,
        } = &log.sink
        else {
            return None;
        };
        let (cluster, path, authority) = (cluster.clone(), path.clone(), authority.clone());
        Some(Self {
            cluster,
            path,
            authority,
            timeout: *timeout,
            resource,
            queue: Queue::new(log.max_records, log.max_queue, log.interval),
            under_way: None,
            closing: false,
            sent: Counter::define(SENT.name).ok(),
            failures: Counter::define(EXPORT_FAILURES.name).ok(),
            dropped: CounterFamily::new(DROPPED.name, &["drop_reason"], 10),
            queued: Gauge::define(QUEUED.name).ok(),
            shown: 0,
        })
    }

    fn push(&mut self, record: Vec<u8>, now: Duration) {
        if let Err(reason) = self.queue.push(record, now) {
            self.count_dropped(reason, 1);
        } else if self.queue.is_ripe() {
            self.send_next(now, false);
        }
    }

    /// Sends what is due. Called from the tick and when an answer has come.
    pub(super) fn send_next(&mut self, now: Duration, flush: bool) {
        if let Some(records) = self.queue.next(now, flush) {
            match self.send(encode_request(&self.resource, records)) {
                Ok(id) => self.under_way = Some(id),
                Err(error) => {
                    ::log::debug!("telemetry: no export to {}: {error}", self.cluster);
                    self.answered(Answer::Failed, now);
                }
            }
        }
        self.show_queue();
    }

    fn send(&self, body: Vec<u8>) -> Result<CalloutId, HeaderError> {
        let compressed = if body.len() >= COMPRESS_FROM {
            gzip(&body)
        } else {
            None
        };
        let mut headers: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"POST"),
            (b":path", self.path.as_bytes()),
            (b":authority", self.authority.as_bytes()),
            (b"content-type", b"application/x-protobuf"),
        ];
        if compressed.is_some() {
            headers.push((b"content-encoding", b"gzip"));
        }
        Callout {
            cluster: &self.cluster,
            headers: &headers,
            body: compressed.as_deref().unwrap_or(&body),
            timeout: self.timeout,
        }
        .send()
    }

    /// Takes an answer; false when it belongs to somebody else's call. While the
    /// plugin goes away one batch follows the other as long as the collector
    /// takes them; a failure then ends it.
    pub(super) fn on_answer(
        &mut self,
        id: CalloutId,
        status: Option<u16>,
        body: &[u8],
        now: Duration,
    ) -> bool {
        if self.under_way != Some(id) {
            return false;
        }
        self.under_way = None;
        let answer = Answer::from_status(status);
        let gone = self.answered(answer, now);
        if answer == Answer::Accepted {
            let rejected = rejected_records(body).min(gone);
            self.count_dropped(Dropped::Rejected, rejected);
            if let Some(sent) = self.sent {
                sent.add(gone - rejected);
            }
        }
        if self.closing && answer != Answer::Accepted {
            self.give_up();
        } else {
            self.send_next(now, self.closing);
        }
        true
    }

    /// Says how many records the answer settled.
    fn answered(&mut self, answer: Answer, now: Duration) -> u64 {
        let jitter = (clock::random() >> 11) as f64 / (1_u64 << 53) as f64;
        let (gone, lost) = self.queue.answered(answer, now, jitter);
        if let (false, Some(failures)) = (answer == Answer::Accepted, self.failures) {
            failures.add(1);
        }
        if let Some(reason) = lost {
            self.count_dropped(reason, gone as u64);
        }
        gone as u64
    }

    fn count_dropped(&mut self, reason: Dropped, records: u64) {
        if records > 0
            && let Ok(counter) = self.dropped.with(&[reason.name().as_bytes()])
        {
            counter.add(records);
        }
    }

    fn show_queue(&mut self) {
        let (now, before) = (
            self.queue.len(),
            std::mem::replace(&mut self.shown, self.queue.len()),
        );
        if let Some(queued) = self.queued {
            queued.add(now as i64 - before as i64);
        }
    }

    /// Sends what is left; true when there is nothing to wait for. A batch that
    /// is under way is waited for.
    pub(super) fn close(&mut self, now: Duration) -> bool {
        self.closing = true;
        if self.under_way.is_none() {
            self.send_next(now, true);
        }
        self.is_closed()
    }

    /// Whether the last answer has come after [`Export::close`]; what could not
    /// be sent is given up then.
    pub(super) fn is_closed(&mut self) -> bool {
        let closed = self.closing && self.under_way.is_none();
        if closed {
            self.give_up();
        }
        closed
    }

    /// Counts what is left as lost.
    fn give_up(&mut self) {
        let left = self.queue.abandon();
        if left > 0 {
            self.count_dropped(Dropped::Shutdown, left as u64);
        }
        self.under_way = None;
        self.show_queue();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }
}

/// gzip, where it makes the body smaller.
fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let result: Result<_, HostError> =
        with_foreign_function("compress", body, |zlib| gzip_from_zlib(zlib, body));
    result.ok()?.filter(|gzip| gzip.len() < body.len())
}
