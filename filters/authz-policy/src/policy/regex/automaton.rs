//! All expressions of a policy set in one automaton.
//!
//! Those on one subject are run together over each of its values: a state stands
//! for the places at which all of them are, and is made when a request first needs
//! it, so that a value costs about its length however many expressions there are.
//! What a hostile value makes it cost is counted in steps, and the count depends on
//! the configuration and the request alone, never on what is kept from earlier
//! requests: the same request gets the same answer from every worker.

use std::cell::{Cell, RefCell};
use std::fmt;

use super::bytes::{ByteSet, SYMBOLS, Symbol};
use super::compile::{Inst, Program};
use crate::policy::sort::{sort, sort_and_dedup};
use crate::policy::value::Tri;

/// Steps that the expressions of a policy set may take on one request: about a
/// hundredth of a second in the worst case. A step is a byte read, or a place of an
/// expression looked at to find what a byte leads to; what has been found counts
/// once per request.
pub const REQUEST_STEPS: u32 = 1 << 19;
/// What states are kept for the requests to come, in numbers of 32 bits; about
/// 2 MiB.
const KEPT: usize = 1 << 17;

/// What is left of a request's steps.
#[derive(Debug)]
pub struct Steps {
    left: Cell<u32>,
    epoch: Cell<u32>,
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            left: Cell::new(REQUEST_STEPS),
            epoch: Cell::new(0),
        }
    }
}

impl Steps {
    /// Steps taken so far; all of them when they did not suffice.
    #[must_use]
    pub fn taken(&self) -> u32 {
        REQUEST_STEPS - self.left.get()
    }

    /// Whether they did not suffice for something.
    #[must_use]
    pub fn are_exhausted(&self) -> bool {
        self.left.get() == 0
    }

    /// Takes steps; nothing is left when there are not as many.
    fn take(&self, steps: u32) -> Option<()> {
        let left = self.left.get().saturating_sub(steps);
        self.left.set(left);
        (left > 0).then_some(())
    }
}

/// Which expressions take a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// These do, by number ascending, and these might.
    Known {
        /// Numbers of those that do.
        surely: Vec<usize>,
        /// Numbers of those where a line feed decides.
        perhaps: Vec<usize>,
    },
    /// The request's steps did not suffice.
    Undecided,
}

impl Taken {
    /// Whether one of these expressions, by number ascending, takes the value.
    #[must_use]
    pub fn any_of(&self, numbers: &[usize]) -> Tri {
        let Self::Known { surely, perhaps } = self else {
            return Tri::Unknown;
        };
        let among = |taken: &[usize]| numbers.iter().any(|n| taken.binary_search(n).is_ok());
        if among(surely) {
            Tri::Yes
        } else if among(perhaps) {
            Tri::Unknown
        } else {
            Tri::No
        }
    }
}

/// The expressions, numbered from zero in the order in which they were added.
#[derive(Clone, Default)]
pub struct Automaton {
    insts: Vec<Inst>,
    classes: Vec<ByteSet>,
    /// Where each expression starts, by set.
    sets: Vec<Vec<usize>>,
    expressions: usize,
    /// Symbols that no expression tells apart share a letter.
    letters: Vec<usize>,
    letter_count: usize,
    cache: RefCell<Cache>,
}

impl Automaton {
    /// Adds an expression to a set, whose number it returns.
    pub(crate) fn add(&mut self, set: usize, program: Program) -> usize {
        let (first_inst, first_class) = (self.insts.len(), self.classes.len());
        if self.sets.len() <= set {
            self.sets.resize_with(set + 1, Vec::new);
        }
        if let Some(starts) = self.sets.get_mut(set) {
            starts.push(first_inst);
        }
        let number = self.expressions;
        self.insts
            .extend(program.insts.into_iter().map(|inst| match inst {
                Inst::Class(class) => Inst::Class(class + first_class),
                Inst::Jump(to) => Inst::Jump(to + first_inst),
                Inst::Split(a, b) => Inst::Split(a + first_inst, b + first_inst),
                Inst::Match(_) => Inst::Match(number),
                other => other,
            }));
        self.classes.extend(program.classes);
        self.expressions += 1;
        number
    }

    /// Makes the alphabet, when all are added.
    pub(crate) fn finish(&mut self) {
        self.letters = vec![0; SYMBOLS];
        self.letter_count = 1;
        let mut known = Vec::new();
        for class in &self.classes {
            if self.letter_count == SYMBOLS {
                break;
            }
            // The letters of a policy's words come again and again.
            if class.is_single() {
                if known.contains(class) {
                    continue;
                }
                known.push(*class);
            }
            let mut finer = vec![usize::MAX; 2 * self.letter_count];
            let mut count = 0;
            for (symbol, letter) in self.letters.iter_mut().enumerate() {
                let inside = usize::from(class.contains(Symbol::numbered(symbol)));
                if let Some(finer) = finer.get_mut(2 * *letter + inside) {
                    if *finer == usize::MAX {
                        *finer = count;
                        count += 1;
                    }
                    *letter = *finer;
                }
            }
            self.letter_count = count;
        }
    }

    /// What the states that are kept take, in numbers of 32 bits.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.cache.borrow().size
    }

    /// How many sets there are.
    pub(crate) fn sets(&self) -> usize {
        self.sets.len()
    }

    /// Which expressions of a set take all of a value, byte by byte. A dot does not
    /// take a line feed, for RE2, and yet values that hold one are cut at it or read
    /// over it by what they were meant for: where that makes the difference an
    /// expression only might take it.
    pub(crate) fn run(&self, set: usize, value: &[u8], steps: &Steps) -> Taken {
        let mut cache = self.cache.borrow_mut();
        if steps.epoch.get() == 0 {
            steps.epoch.set(cache.next_request());
        }
        let mut run = Run {
            automaton: self,
            cache: &mut cache,
            steps,
        };
        let surely = run.walk(set, value, Symbol::Byte(b'\n'));
        let perhaps = match value.contains(&b'\n') {
            true => run.walk(set, value, Symbol::LooseLineFeed),
            false => Some(Vec::new()),
        };
        match (surely, perhaps) {
            (Some(surely), Some(perhaps)) => Taken::Known { surely, perhaps },
            _ => Taken::Undecided,
        }
    }
}

impl fmt::Debug for Automaton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Automaton({} expressions)", self.expressions)
    }
}

/// States that requests have needed.
#[derive(Clone, Default)]
struct Cache {
    states: Vec<State>,
    /// Number of a state plus one, by the hash of its places; a power of two long.
    slots: Vec<usize>,
    /// The state that each set starts in, plus one.
    roots: Vec<usize>,
    /// What the states take.
    size: usize,
    /// Number of the request, to tell what it has already paid for.
    epoch: u32,
    /// For each place the last search that has come by.
    seen: Vec<u32>,
    search: u32,
}

/// Places at which the expressions of a set are after some bytes.
#[derive(Clone)]
struct State {
    /// Ascending; of classes, ends and matches only.
    places: Vec<usize>,
    edges: Vec<Edge>,
    epoch: u32,
}

/// What a letter leads to.
#[derive(Clone, Copy, Default)]
struct Edge {
    /// A state's number plus one.
    to: usize,
    /// What finding it took.
    cost: u32,
    epoch: u32,
}

impl Cache {
    /// Begins a request; forgets everything when that has become much.
    fn next_request(&mut self) -> u32 {
        if self.size > KEPT || self.epoch == u32::MAX {
            *self = Self::default();
        }
        self.epoch += 1;
        self.epoch
    }

    /// The number of the state of these places.
    fn intern(&mut self, places: Vec<usize>, letters: usize) -> usize {
        if self.states.len() * 2 >= self.slots.len() {
            self.rehash();
        }
        let slot = self.slot_of(&places);
        match self.slots.get_mut(slot) {
            Some(0) | None => {}
            Some(known) => return *known - 1,
        }
        self.size += places.len() + letters * 3;
        self.states.push(State {
            places,
            edges: vec![Edge::default(); letters],
            epoch: 0,
        });
        let number = self.states.len();
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = number;
        }
        number - 1
    }

    /// Where a state of these places is, or would be put.
    fn slot_of(&self, places: &[usize]) -> usize {
        let mask = self.slots.len() - 1;
        let hash = places.iter().fold(0_usize, |hash, place| {
            (hash.rotate_left(5) ^ place).wrapping_mul(0x9e37_79b1)
        });
        let mut at = (hash ^ (hash >> 15)) & mask;
        while let Some(&number) = self.slots.get(at)
            && let Some(number) = number.checked_sub(1)
            && self.states.get(number).is_some_and(|s| s.places != places)
        {
            at = (at + 1) & mask;
        }
        at
    }

    fn rehash(&mut self) {
        self.slots = vec![0; (self.states.len() * 4).max(16).next_power_of_two()];
        for number in 0..self.states.len() {
            let places = self
                .states
                .get_mut(number)
                .map(|s| std::mem::take(&mut s.places));
            let places = places.unwrap_or_default();
            let slot = self.slot_of(&places);
            if let (Some(slot), Some(state)) =
                (self.slots.get_mut(slot), self.states.get_mut(number))
            {
                *slot = number + 1;
                state.places = places;
            }
        }
    }
}

/// A search in the places of the automaton.
struct Run<'a> {
    automaton: &'a Automaton,
    cache: &'a mut Cache,
    steps: &'a Steps,
}

impl Run<'_> {
    /// The expressions of a set that take all of a value, whose line feeds are read
    /// like this; `None` when there are not enough steps.
    fn walk(&mut self, set: usize, value: &[u8], line_feed: Symbol) -> Option<Vec<usize>> {
        let mut at = self.root(set)?;
        for &byte in value {
            let symbol = match byte {
                b'\n' => line_feed,
                byte => Symbol::Byte(byte),
            };
            let letter = self.automaton.letters.get(symbol.number()).copied();
            at = self.next(at, letter.unwrap_or(0), symbol)?;
            // Nothing is left that could match.
            if self
                .cache
                .states
                .get(at)
                .is_none_or(|s| s.places.is_empty())
            {
                return Some(Vec::new());
            }
        }
        self.ends(at, value.is_empty())
    }

    fn root(&mut self, set: usize) -> Option<usize> {
        let known = self.cache.roots.get(set).copied().unwrap_or(0);
        if let Some(root) = known.checked_sub(1) {
            let places = self.cache.states.get(root).map_or(0, |s| s.places.len());
            // As many as finding them took at least.
            self.steps.take(places as u32)?;
            return self.visit(root);
        }
        let starts = self.automaton.sets.get(set).cloned().unwrap_or_default();
        let (places, _) = self.follow(starts, true, false);
        self.steps.take(places.len() as u32)?;
        let root = self.cache.intern(places, self.automaton.letter_count);
        if self.cache.roots.len() <= set {
            self.cache.roots.resize(set + 1, 0);
        }
        if let Some(slot) = self.cache.roots.get_mut(set) {
            *slot = root + 1;
        }
        self.visit(root)
    }

    /// Pays for a state that the request has not been in: it is kept.
    fn visit(&mut self, state: usize) -> Option<usize> {
        let epoch = self.cache.epoch;
        if let Some(found) = self.cache.states.get_mut(state)
            && std::mem::replace(&mut found.epoch, epoch) != epoch
        {
            let size = found.places.len() + found.edges.len();
            self.steps.take(size as u32)?;
        }
        Some(state)
    }

    /// The state that a symbol, with its letter, leads to.
    fn next(&mut self, from: usize, letter: usize, symbol: Symbol) -> Option<usize> {
        self.steps.take(1)?;
        let epoch = self.cache.epoch;
        let state = self.cache.states.get_mut(from)?;
        let edge = state.edges.get_mut(letter)?;
        if let Some(to) = edge.to.checked_sub(1) {
            if std::mem::replace(&mut edge.epoch, epoch) == epoch {
                return Some(to);
            }
            self.steps.take(edge.cost)?;
            return self.visit(to);
        }
        let places = std::mem::take(&mut state.places);
        let taking = places
            .iter()
            .filter(|&&place| self.automaton.takes(place, symbol));
        let starts: Vec<usize> = taking.map(|place| place + 1).collect();
        let looked_at = places.len();
        if let Some(state) = self.cache.states.get_mut(from) {
            state.places = places;
        }
        let (found, came_by) = self.follow(starts, false, false);
        let to = self.cache.intern(found, self.automaton.letter_count);
        let cost = (looked_at + came_by) as u32;
        let edge = self.cache.states.get_mut(from)?.edges.get_mut(letter)?;
        *edge = Edge {
            to: to + 1,
            cost,
            epoch,
        };
        self.steps.take(cost)?;
        self.visit(to)
    }

    /// The expressions that match when the value ends in this state.
    fn ends(&mut self, state: usize, empty: bool) -> Option<Vec<usize>> {
        let places = self.cache.states.get(state)?.places.clone();
        self.steps.take(places.len() as u32)?;
        let (places, _) = self.follow(places, empty, true);
        let mut matched: Vec<usize> = places
            .iter()
            .filter_map(|&place| match self.automaton.insts.get(place) {
                Some(Inst::Match(number)) => Some(*number),
                _ => None,
            })
            .collect();
        sort(&mut matched);
        Some(matched)
    }

    /// All places reachable from these without a byte, and how many were come by.
    fn follow(
        &mut self,
        mut pending: Vec<usize>,
        at_start: bool,
        at_end: bool,
    ) -> (Vec<usize>, usize) {
        self.cache.seen.resize(self.automaton.insts.len(), 0);
        self.cache.search = self.cache.search.wrapping_add(1);
        if self.cache.search == 0 {
            self.cache.seen.fill(0);
            self.cache.search = 1;
        }
        let search = self.cache.search;
        let (mut places, mut came_by) = (Vec::new(), 0);
        while let Some(place) = pending.pop() {
            let Some(seen) = self.cache.seen.get_mut(place) else {
                continue;
            };
            if std::mem::replace(seen, search) == search {
                continue;
            }
            came_by += 1;
            match self.automaton.insts.get(place) {
                Some(Inst::Jump(to)) => pending.push(*to),
                Some(Inst::Split(a, b)) => pending.extend([*b, *a]),
                Some(Inst::Start) if at_start => pending.push(place + 1),
                Some(Inst::End) if at_end => pending.push(place + 1),
                Some(Inst::Class(_) | Inst::Match(_) | Inst::End) => places.push(place),
                _ => {}
            }
        }
        sort_and_dedup(&mut places);
        (places, came_by)
    }
}

impl Automaton {
    fn takes(&self, place: usize, symbol: Symbol) -> bool {
        let Some(Inst::Class(class)) = self.insts.get(place) else {
            return false;
        };
        let class = self.classes.get(*class);
        class.is_some_and(|class| class.contains(symbol))
    }
}
