//! The same calls as on wasm32, answered from memory.

use std::collections::hash_map::Entry;
use std::time::Duration;

use super::{SentCallout, SentReply, State, with};
use crate::headers::HeaderMap;
use crate::host::{Buffer, HostError, Map, arena_copy, encode_pairs};

fn call<T>(
    name: &'static str,
    answer: impl FnOnce(&mut State) -> Result<T, HostError>,
) -> Result<T, HostError> {
    with(|state| {
        *state.calls.entry(name).or_default() += 1;
        match state.failures.get(name) {
            Some(error) => Err(*error),
            None => answer(state),
        }
    })
}

pub(crate) fn log(level: u32, text: &[u8]) {
    let text = String::from_utf8_lossy(text).into_owned();
    with(|state| state.logs.push((level, text)));
}

pub(crate) fn log_level() -> Result<u32, HostError> {
    call("log_level", |_| Ok(0))
}

pub(crate) fn now() -> Result<Duration, HostError> {
    call("now", |state| Ok(state.now))
}

pub(crate) fn random() -> u64 {
    with(|state| {
        state.random.pop_front().unwrap_or_else(|| {
            state.random_state = state.random_state.wrapping_add(1);
            state.random_state
        })
    })
}

pub(crate) fn set_tick_period(period: Duration) -> Result<(), HostError> {
    call("set_tick_period", |state| {
        state.tick_period = Some(period);
        Ok(())
    })
}

pub(crate) fn buffer(kind: Buffer, start: usize, max: usize) -> Result<&'static [u8], HostError> {
    call("buffer", |state| {
        let bytes = match kind {
            Buffer::PluginConfiguration => &state.configuration,
            Buffer::HttpCallResponseBody => &state.callout_body,
        };
        let end = start.saturating_add(max).min(bytes.len());
        Ok(arena_copy(bytes.get(start..end).unwrap_or_default()))
    })
}

pub(crate) fn header_pairs(map: Map) -> Result<&'static [u8], HostError> {
    call("header_pairs", |state| {
        let pairs = state.maps.get(&map).ok_or(HostError::NotFound)?;
        let pairs: Vec<(&[u8], &[u8])> = pairs
            .iter()
            .map(|(n, v)| (n.as_slice(), v.as_slice()))
            .collect();
        Ok(arena_copy(&encode_pairs(&pairs)))
    })
}

pub(crate) fn header(map: Map, name: &[u8]) -> Result<&'static [u8], HostError> {
    call("header", |state| {
        let pairs = state.maps.get(&map).ok_or(HostError::NotFound)?;
        let (_, value) = pairs
            .iter()
            .find(|(n, _)| n == name)
            .ok_or(HostError::NotFound)?;
        Ok(arena_copy(value))
    })
}

pub(crate) fn add_header(map: Map, name: &[u8], value: &[u8]) -> Result<(), HostError> {
    call("add_header", |state| {
        let pairs = state.maps.get_mut(&map).ok_or(HostError::BadArgument)?;
        pairs.push((name.to_vec(), value.to_vec()));
        Ok(())
    })
}

pub(crate) fn replace_header(map: Map, name: &[u8], value: &[u8]) -> Result<(), HostError> {
    call("replace_header", |state| {
        let pairs = state.maps.get_mut(&map).ok_or(HostError::BadArgument)?;
        pairs.retain(|(n, _)| n != name);
        pairs.push((name.to_vec(), value.to_vec()));
        Ok(())
    })
}

pub(crate) fn remove_header(map: Map, name: &[u8]) -> Result<(), HostError> {
    call("remove_header", |state| {
        let pairs = state.maps.get_mut(&map).ok_or(HostError::BadArgument)?;
        pairs.retain(|(n, _)| n != name);
        Ok(())
    })
}

pub(crate) fn property(path: &[u8]) -> Result<&'static [u8], HostError> {
    call("property", |state| match state.properties.get(path) {
        Some(Ok(value)) => Ok(arena_copy(value)),
        Some(Err(error)) => Err(*error),
        None => Err(HostError::NotFound),
    })
}

pub(crate) fn set_property(path: &[u8], value: &[u8]) -> Result<(), HostError> {
    call("set_property", |state| {
        state.properties.insert(path.to_vec(), Ok(value.to_vec()));
        Ok(())
    })
}

pub(crate) fn shared_data(key: &[u8]) -> Result<(&'static [u8], u32), HostError> {
    call("shared_data", |state| {
        let (value, cas) = state.shared.get(key).ok_or(HostError::NotFound)?;
        Ok((arena_copy(value), *cas))
    })
}

pub(crate) fn set_shared_data(key: &[u8], value: &[u8], cas: u32) -> Result<(), HostError> {
    call("set_shared_data", |state| {
        if let Some((_, current)) = state.shared.get(key)
            && cas != 0
            && cas != *current
        {
            return Err(HostError::CasMismatch);
        }
        state.next_cas += 1;
        state
            .shared
            .insert(key.to_vec(), (value.to_vec(), state.next_cas));
        Ok(())
    })
}

/// As in Envoy, every definition gives a new id; one name is one metric.
pub(crate) fn define_metric(kind: u32, name: &[u8]) -> Result<u32, HostError> {
    call("define_metric", |state| {
        let name = String::from_utf8_lossy(name).into_owned();
        let slot = match state.metric_slots.entry((name.clone(), kind)) {
            Entry::Occupied(slot) => *slot.get(),
            Entry::Vacant(slot) => {
                state.metrics.push((name, kind, 0, Vec::new()));
                *slot.insert(state.metrics.len() - 1)
            }
        };
        state.metric_ids.push(slot);
        u32::try_from(state.metric_ids.len()).map_err(|_| HostError::InternalFailure)
    })
}

fn metric_slot(state: &State, id: u32) -> Result<usize, HostError> {
    let id = (id as usize).checked_sub(1).ok_or(HostError::BadArgument)?;
    state.metric_ids.get(id).copied().ok_or(HostError::NotFound)
}

pub(crate) fn increment_metric(id: u32, offset: i64) -> Result<(), HostError> {
    call("increment_metric", |state| {
        let slot = metric_slot(state, id)?;
        let (_, kind, value, _) = state.metrics.get_mut(slot).ok_or(HostError::NotFound)?;
        if offset == 0 || (*kind == 0 && offset < 0) {
            return Err(HostError::BadArgument);
        }
        *value += offset;
        Ok(())
    })
}

pub(crate) fn record_metric(id: u32, new: u64) -> Result<(), HostError> {
    call("record_metric", |state| {
        let slot = metric_slot(state, id)?;
        let (_, kind, value, recorded) = state.metrics.get_mut(slot).ok_or(HostError::NotFound)?;
        if *kind == 2 {
            recorded.push(new);
        } else {
            *value = i64::try_from(new).unwrap_or(i64::MAX);
        }
        Ok(())
    })
}

pub(crate) fn metric(id: u32) -> Result<u64, HostError> {
    call("metric", |state| {
        let slot = metric_slot(state, id)?;
        let (_, _, value, _) = state.metrics.get(slot).ok_or(HostError::NotFound)?;
        Ok(u64::try_from(*value).unwrap_or(0))
    })
}

fn decode(headers: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let map = HeaderMap::decode(headers).unwrap_or_default();
    map.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect()
}

pub(crate) fn send_local_response(
    status: u32,
    details: &[u8],
    body: &[u8],
    headers: &[u8],
    grpc_status: i32,
) -> Result<(), HostError> {
    call("send_local_response", |state| {
        state.replies.push(SentReply {
            status,
            details: String::from_utf8_lossy(details).into_owned(),
            body: body.to_vec(),
            headers: decode(headers),
            grpc_status,
        });
        Ok(())
    })
}

pub(crate) fn call_foreign_function(
    name: &[u8],
    arguments: &[u8],
) -> Result<&'static [u8], HostError> {
    let name = String::from_utf8_lossy(name).into_owned();
    call("call_foreign_function", |state| {
        let function = state.foreign.get_mut(&name).ok_or(HostError::NotFound)?;
        function(arguments).map(|bytes| arena_copy(&bytes))
    })
}

pub(crate) fn http_call(
    cluster: &[u8],
    headers: &[u8],
    body: &[u8],
    timeout: Duration,
) -> Result<u32, HostError> {
    call("http_call", |state| {
        let id = u32::try_from(state.callouts.len()).unwrap_or(0) + 1;
        state.callouts.push(SentCallout {
            cluster: String::from_utf8_lossy(cluster).into_owned(),
            headers: decode(headers),
            body: body.to_vec(),
            timeout,
            id,
        });
        Ok(id)
    })
}

pub(crate) fn done() -> Result<(), HostError> {
    call("done", |_| Ok(()))
}

pub(crate) fn set_effective_context(context: u32) -> Result<(), HostError> {
    call("set_effective_context", |state| {
        if state.gone.contains(&context) {
            return Err(HostError::BadArgument);
        }
        Ok(())
    })
}
