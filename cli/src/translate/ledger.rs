//! Reading a resource so that nothing of it gets lost without being told.
//!
//! Every value that a translation looks at is ticked off. What is left at the
//! end had no meaning to it and is reported, together with what it could not
//! carry over although it understood it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::time::Duration;

use meshpack_sdk::config::{Node, Number, read_node};

use crate::yaml::{Place, Position, push_key};

/// Something that a person should read after a translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remark {
    pub(crate) file: String,
    pub(crate) position: Position,
    /// `VirtualService shop/payments`
    pub(crate) resource: String,
    /// `spec.http[0].mirror`
    pub(crate) path: String,
    pub(crate) reason: String,
}

/// Where a remark would point.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    file: String,
    position: Position,
    resource: String,
    path: String,
}

impl Spot {
    fn remark(&self, reason: impl Into<String>) -> Remark {
        Remark {
            file: self.file.clone(),
            position: self.position,
            resource: self.resource.clone(),
            path: self.path.clone(),
            reason: reason.into(),
        }
    }
}

/// That something of one resource came out in another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Carried {
    /// `VirtualService shop/payments`
    pub(crate) from: String,
    /// `WasmPlugin shop/canary-split`
    pub(crate) to: String,
}

/// The account of one run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lost: RefCell<Vec<Remark>>,
    notes: RefCell<Vec<Remark>>,
    stays: RefCell<Vec<String>>,
    carried: RefCell<Vec<Carried>>,
    seen: RefCell<HashSet<*const Node>>,
}

impl Ledger {
    /// Something could not be carried over.
    pub(crate) fn lost(&self, spot: &Spot, reason: impl Into<String>) {
        push(&self.lost, spot.remark(reason));
    }

    /// Something was carried over and is not quite the same, or wants a decision.
    pub(crate) fn note(&self, spot: &Spot, reason: impl Into<String>) {
        push(&self.notes, spot.remark(reason));
    }

    /// A resource that goes on working beside what comes out.
    pub(crate) fn stays(&self, what: String) {
        self.stays.borrow_mut().push(what);
    }

    /// Something of a resource came out in another.
    pub(crate) fn carry(&self, from: &Spot, to: &str) {
        let carried = Carried {
            from: from.resource.clone(),
            to: to.to_owned(),
        };
        let mut known = self.carried.borrow_mut();
        if !known.contains(&carried) {
            known.push(carried);
        }
    }

    /// What came of what, by resource.
    pub(crate) fn carried(&self) -> Vec<Carried> {
        let mut carried = self.carried.borrow().clone();
        carried.sort();
        carried
    }

    /// All of those.
    pub(crate) fn staying(&self) -> Vec<String> {
        self.stays.borrow().clone()
    }

    /// What was lost and noted so far.
    pub(crate) fn snapshot(&self) -> (Vec<Remark>, Vec<Remark>) {
        (self.lost.borrow().clone(), self.notes.borrow().clone())
    }

    /// Everything lost and everything noted.
    pub(crate) fn into_remarks(self) -> (Vec<Remark>, Vec<Remark>) {
        (self.lost.into_inner(), self.notes.into_inner())
    }

    fn see(&self, node: &Node) {
        self.seen.borrow_mut().insert(node);
    }

    fn has_seen(&self, node: &Node) -> bool {
        self.seen.borrow().contains(&std::ptr::from_ref(node))
    }
}

fn push(list: &RefCell<Vec<Remark>>, remark: Remark) {
    let mut list = list.borrow_mut();
    if !list.contains(&remark) {
        list.push(remark);
    }
}

/// A value of a resource under translation.
#[derive(Clone)]
pub(crate) struct Field<'a> {
    place: Place<'a>,
    root: Place<'a>,
    path: String,
    file: &'a str,
    resource: String,
    ledger: &'a Ledger,
}

impl<'a> Field<'a> {
    /// A whole resource.
    pub(crate) fn resource(
        place: Place<'a>,
        path: String,
        file: &'a str,
        name: String,
        ledger: &'a Ledger,
    ) -> Self {
        ledger.see(place.node());
        Self {
            place,
            root: place,
            path,
            file,
            resource: name,
            ledger,
        }
    }

    pub(crate) fn node(&self) -> &'a Node {
        self.place.node()
    }

    pub(crate) fn ledger(&self) -> &'a Ledger {
        self.ledger
    }

    pub(crate) fn spot(&self) -> Spot {
        Spot {
            file: self.file.to_owned(),
            position: self.place.position(),
            resource: self.resource.clone(),
            path: self.path.clone(),
        }
    }

    /// Reports this value, with all below it, as not carried over.
    pub(crate) fn lost(&self, reason: impl Into<String>) {
        self.take();
        self.ledger.lost(&self.spot(), reason);
    }

    /// Reports `key` as not carried over, if it is there.
    pub(crate) fn lose(&self, key: &str, reason: &str) {
        if let Some(field) = self.get(key) {
            field.lost(reason);
        }
    }

    /// A remark about something that was carried over.
    pub(crate) fn note(&self, reason: impl Into<String>) {
        self.ledger.note(&self.spot(), reason);
    }

    /// The value under `key`, which now counts as read.
    pub(crate) fn get(&self, key: &str) -> Option<Self> {
        let place = self.place.get(key)?;
        Some(self.child(key, place))
    }

    /// The value behind several keys.
    pub(crate) fn at(&self, keys: &[&str]) -> Option<Self> {
        let mut field = self.clone();
        for key in keys {
            field = field.get(key)?;
        }
        Some(field)
    }

    /// The value under the first of several spellings of a key.
    pub(crate) fn any(&self, keys: &[&str]) -> Option<Self> {
        keys.iter().find_map(|key| self.get(key))
    }

    fn child(&self, key: &str, place: Place<'a>) -> Self {
        self.ledger.see(place.node());
        let mut path = self.path.clone();
        push_key(&mut path, key);
        Self {
            place,
            path,
            ..self.clone()
        }
    }

    /// The items of a list; a list is expected.
    pub(crate) fn items(&self) -> Vec<Self> {
        if !matches!(self.node(), Node::List(_)) {
            self.unexpected::<()>("a list");
        }
        let items = self.place.items().enumerate();
        let items = items.map(|(index, place)| {
            self.ledger.see(place.node());
            Self {
                place,
                path: format!("{}[{index}]", self.path),
                ..self.clone()
            }
        });
        items.collect()
    }

    /// The items under `key`, none if it is absent.
    pub(crate) fn list(&self, key: &str) -> Vec<Self> {
        self.get(key).map(|list| list.items()).unwrap_or_default()
    }

    /// The entries of an object whose keys are data; an object is expected.
    pub(crate) fn entries(&self) -> Vec<(&'a str, Self)> {
        if !matches!(self.node(), Node::Object(_)) {
            self.unexpected::<()>("an object");
        }
        let entries = self.place.entries();
        entries
            .map(|(key, place)| (key, self.child(key, place)))
            .collect()
    }

    /// The entries of an object that nothing has read yet; they still count as unread.
    pub(crate) fn unread(&self) -> Vec<(&'a str, Self)> {
        let entries = self.place.entries();
        let unread = entries.filter(|(_, place)| !self.ledger.has_seen(place.node()));
        unread
            .map(|(key, place)| {
                let mut path = self.path.clone();
                push_key(&mut path, key);
                let field = Self {
                    place,
                    path,
                    ..self.clone()
                };
                (key, field)
            })
            .collect()
    }

    /// Counts the value and everything below it as read.
    pub(crate) fn take(&self) -> &'a Node {
        see_all(self.ledger, self.place);
        self.node()
    }

    /// Counts `key` as read: it means nothing to a translation.
    pub(crate) fn skip(&self, key: &str) {
        if let Some(field) = self.get(key) {
            field.take();
        }
    }

    fn unexpected<T>(&self, what: &str) -> Option<T> {
        let kind = self.node().kind();
        self.lost(format!("is {kind}, must be {what}"));
        None
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        match self.place.text() {
            Some(text) => Some(text),
            None => self.unexpected("a string"),
        }
    }

    /// The text, or nothing without a report if this is something else.
    pub(crate) fn raw_text(&self) -> Result<&'a str, ()> {
        self.place.text().ok_or(())
    }

    /// The text under `key`.
    pub(crate) fn text_at(&self, key: &str) -> Option<&'a str> {
        self.get(key)?.text()
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match self.node() {
            Node::Number(Number::Integer(value)) => Some(*value as f64),
            Node::Number(Number::Double(value)) => Some(*value),
            _ => self.unexpected("a number"),
        }
    }

    pub(crate) fn integer(&self) -> Option<i64> {
        match self.node() {
            Node::Number(Number::Integer(value)) => Some(*value),
            _ => self.unexpected("a whole number"),
        }
    }

    /// A TCP port.
    pub(crate) fn port(&self) -> Option<u16> {
        let port = u16::try_from(self.integer()?).ok().filter(|port| *port > 0);
        if port.is_none() {
            self.lost("is not a port number from 1 to 65535");
        }
        port
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.node() {
            Node::Bool(value) => Some(*value),
            _ => self.unexpected("true or false"),
        }
    }

    /// A duration as Go writes it, `1m30s`.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let text = self.text()?;
        let parsed = read_node(self.node(), |value| value.duration(Duration::ZERO));
        if parsed.is_err() {
            self.lost(format!("{text:?} is not a duration such as 250ms or 10s"));
        }
        parsed.ok()
    }

    /// All texts of a list.
    pub(crate) fn texts(&self) -> Vec<&'a str> {
        self.items().iter().filter_map(Self::text).collect()
    }

    /// Reports everything that was never read.
    pub(crate) fn close(&self) {
        self.report_unread(self.root, self.path.clone());
    }

    fn report_unread(&self, place: Place<'a>, path: String) {
        if *place.node() == Node::Null {
            return;
        }
        if !self.ledger.has_seen(place.node()) {
            let unread = Self {
                place,
                path,
                ..self.clone()
            };
            unread.lost("means nothing to this translation");
            return;
        }
        for (key, child) in place.entries() {
            let mut below = path.clone();
            push_key(&mut below, key);
            self.report_unread(child, below);
        }
        for (index, child) in place.items().enumerate() {
            self.report_unread(child, format!("{path}[{index}]"));
        }
    }
}

fn see_all(ledger: &Ledger, place: Place<'_>) {
    ledger.see(place.node());
    place
        .entries()
        .for_each(|(_, child)| see_all(ledger, child));
    place.items().for_each(|child| see_all(ledger, child));
}
