//! What the notes say of the promises.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, fs,
    io::{self, BufWriter, Write},
    path::Path,
    time::Duration,
};

use exosphere::NodeId;

use crate::{
    clients::Subscriber,
    notes::{Name, Note, What},
};

/// How many of what is wrong are told one by one.
const TOLD: usize = 20;

/// What the notes say of the promises.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    notes: Vec<Note>,
    conditions: Conditions,
    sent: usize,
    acknowledged: usize,
    failed: usize,
    /// How many were acknowledged by so many nodes.
    nodes: BTreeMap<usize, usize>,
    received: usize,
    received_bare: usize,
    repeated_bare: usize,
    lost: usize,
    duplicates: usize,
    disorder: usize,
    /// What one publisher sent, out of order because two nodes that were apart published it: one
    /// that the publisher was with, and one that took that for dead. That is not promised.
    interleaved: usize,
    holes: usize,
    gaps: usize,
    expired: usize,
    /// How many messages nodes did not account for.
    pub(crate) unaccounted: u64,
    /// From the end of a fault until everybody had all that was acknowledged by then.
    pub(crate) recoveries: Vec<Duration>,
    /// From the fault to the first message on another connection.
    interruptions: Vec<Duration>,
    /// From the push to the acknowledgement.
    latencies: Vec<Duration>,
    told: Vec<String>,
}

/// What the nodes are like, as far as more is allowed for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conditions {
    /// Nodes were alive and did not reach each other.
    pub(crate) is_apart: bool,
    /// Nodes come back with what they stored: also with what nobody else had heard of, which was
    /// published anew meanwhile.
    pub(crate) has_disks: bool,
}

/// Judges what happened.
pub(crate) fn judge(notes: &[Note], subscribers: &[Subscriber], conditions: Conditions) -> Verdict {
    let mut verdict = Verdict { notes: notes.to_vec(), conditions, ..Verdict::default() };
    let acknowledged = verdict.judge_publishers(notes);
    let mut clients = BTreeMap::<Name, Vec<&Note>>::new();
    for note in notes {
        clients.entry(note.who).or_default().push(note);
    }
    for subscriber in subscribers {
        clients.entry(subscriber.name()).or_default();
    }
    for (&name, notes) in &clients {
        match name {
            Name::Subscriber(_) => verdict.judge_subscriber(name, notes, &acknowledged),
            Name::Bare(_) => verdict.judge_bare(name, notes),
            Name::Publisher(_) => {}
        }
    }
    verdict.interruptions.sort_unstable();
    verdict.latencies.sort_unstable();
    verdict
}

impl Verdict {
    /// Whether every promise was kept.
    pub(crate) const fn is_clean(&self) -> bool {
        let wrong = self.lost + self.duplicates + self.disorder + self.holes + self.failed;
        wrong == 0 && self.unaccounted == 0 && self.acknowledged == self.sent
    }

    /// Writes what was noted, one line each.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(fs::File::create(path)?);
        for Note { at, who, what } in &self.notes {
            writeln!(file, "{:.6} {who:?} {what:?}", at.as_secs_f64())?;
        }
        file.flush()
    }

    /// Returns what was acknowledged of each publisher.
    fn judge_publishers(&mut self, notes: &[Note]) -> BTreeMap<usize, BTreeSet<u64>> {
        let mut acknowledged = BTreeMap::<usize, BTreeSet<u64>>::new();
        let mut sent = HashMap::new();
        for note in notes {
            let Name::Publisher(publisher) = note.who else { continue };
            match &note.what {
                What::Sent(number) => {
                    self.sent += 1;
                    sent.insert((publisher, *number), note.at);
                }
                What::Acknowledged(number, nodes) => {
                    self.acknowledged += 1;
                    *self.nodes.entry(*nodes).or_default() += 1;
                    acknowledged.entry(publisher).or_default().insert(*number);
                    let since = sent.get(&(publisher, *number));
                    self.latencies.extend(since.map(|&since| note.at.saturating_sub(since)));
                }
                What::Failed(number, error) => {
                    self.failed += 1;
                    self.tell(|| format!("{publisher} {number} was not acknowledged: {error}"));
                }
                _ => {}
            }
        }
        acknowledged
    }

    /// Who removes duplicates gets everything once and in order, over all connections.
    fn judge_subscriber(
        &mut self,
        name: Name,
        notes: &[&Note],
        acknowledged: &BTreeMap<usize, BTreeSet<u64>>,
    ) {
        let mut has = BTreeMap::<usize, Has>::new();
        let (mut gaps, mut hit, mut is_elsewhere) = (0, None, false);
        for note in notes {
            match note.what {
                What::Received(publisher, number, from) => {
                    self.received += 1;
                    if let Some(since) = hit.take_if(|_| is_elsewhere) {
                        self.interruptions.push(note.at.saturating_sub(since));
                    }
                    let place = has.entry(publisher).or_default().take(number, from);
                    self.judge_place(place, || {
                        format!("{:?} {name:?}: {publisher} {number} {place:?}", note.at)
                    });
                }
                What::Hit => (hit, is_elsewhere) = (Some(note.at), false),
                What::Connected => is_elsewhere = true,
                What::Gap => gaps += 1,
                What::Expired => (gaps, self.expired) = (gaps + 1, self.expired + 1),
                _ => {}
            }
        }
        self.gaps += gaps;
        let empty = BTreeSet::new();
        for (publisher, numbers) in acknowledged {
            let has = has.get(publisher).map_or(&empty, |has| &has.numbers);
            let lost: Vec<_> = numbers.difference(has).collect();
            // What lies in a gap was told of: but then there must be a gap.
            if gaps == 0 && !lost.is_empty() {
                self.lost += lost.len();
                let few: Vec<_> = lost.iter().take(TOLD).collect();
                self.tell(|| format!("{name:?} lost {} of {publisher}: {few:?}", lost.len()));
            }
        }
    }

    fn judge_place(&mut self, place: Place, told: impl FnOnce() -> String) {
        match place {
            Place::Next => return,
            Place::Again => self.duplicates += 1,
            Place::LateElsewhere if self.conditions.is_apart => return self.interleaved += 1,
            Place::Late | Place::LateElsewhere => self.disorder += 1,
        }
        self.tell(told);
    }

    /// Who has a new session for each connection gets everything on each, from some place on. It may
    /// get again what was handled twice, because a node was taken for dead, or came back with what it
    /// had stored: it does not look for that.
    fn judge_bare(&mut self, name: Name, notes: &[&Note]) {
        let mut has = BTreeMap::<usize, Has>::new();
        for note in notes {
            match note.what {
                What::Connected => has.clear(),
                What::Received(publisher, number, _) => {
                    self.received_bare += 1;
                    let has = has.entry(publisher).or_default();
                    let expected = has.numbers.last().map_or(number, |last| last + 1);
                    let was_before = has.numbers.first().is_some_and(|&first| number < first);
                    if was_before && self.conditions.has_disks {
                        self.repeated_bare += 1; // It was published again before this came.
                        continue;
                    }
                    match has.take(number, None) {
                        Place::Next if number == expected || self.conditions.is_apart => continue,
                        Place::Next => self.holes += 1,
                        Place::Again => {
                            self.repeated_bare += 1;
                            continue;
                        }
                        _ if self.conditions.is_apart => {
                            self.interleaved += 1;
                            continue;
                        }
                        _ => self.disorder += 1,
                    }
                    self.tell(|| {
                        let at = note.at;
                        format!("{at:?} {name:?}: {publisher} {number} instead of {expected}")
                    });
                }
                _ => {}
            }
        }
        if self.conditions.is_apart {
            self.judge_whole(name, &has);
        }
    }

    /// Where what comes later may be older, what came on the last connection tells only at the end
    /// whether it has holes.
    fn judge_whole(&mut self, name: Name, has: &BTreeMap<usize, Has>) {
        for (publisher, Has { numbers, .. }) in has {
            let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { continue };
            let missing: Vec<_> = (*first..*last).filter(|it| !numbers.contains(it)).collect();
            self.holes += missing.len();
            if let Some(first) = missing.first() {
                let count = missing.len();
                self.tell(|| format!("{name:?}: {count} of {publisher} missing from {first} on"));
            }
        }
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.told.len() < TOLD {
            self.told.push(what());
        }
    }
}

/// What a client has of one publisher.
#[derive(Debug, Default)]
struct Has {
    numbers: BTreeSet<u64>,
    /// The highest number that came from each node.
    from: BTreeMap<NodeId, u64>,
}

/// How what comes follows on what came before, of the same publisher.
#[derive(Clone, Copy, Debug)]
enum Place {
    Next,
    Again,
    /// The node that published it had published a later one before.
    Late,
    /// A later one has come, from another node.
    LateElsewhere,
}

impl Has {
    fn take(&mut self, number: u64, from: Option<NodeId>) -> Place {
        let is_behind = self.numbers.last().is_some_and(|&last| number < last);
        let last_from = from.and_then(|from| self.from.insert(from, number));
        if !self.numbers.insert(number) {
            return Place::Again;
        }
        match is_behind {
            false => Place::Next,
            true if last_from.is_some_and(|last| number < last) => Place::Late,
            true => Place::LateElsewhere,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, acknowledged, failed, received, received_bare, repeated_bare, .. } = self;
        writeln!(f, "sent {sent}, acknowledged {acknowledged}, failed {failed}")?;
        writeln!(f, "acknowledged by how many nodes: {:?}", self.nodes)?;
        writeln!(
            f,
            "received {received}, by bare WebSockets {received_bare}, of them again {repeated_bare}"
        )?;
        writeln!(f, "lost {} (S1), duplicates {} (S2)", self.lost, self.duplicates)?;
        writeln!(f, "out of order {} (S3), silent holes {} (S9)", self.disorder, self.holes)?;
        if self.conditions.is_apart {
            writeln!(f, "out of order, of nodes that were apart {}", self.interleaved)?;
        }
        writeln!(f, "gaps told {}, of them sessions that expired {}", self.gaps, self.expired)?;
        writeln!(f, "unaccounted {}", self.unaccounted)?;
        writeln!(f, "push to acknowledgement: {}", Quantiles(&self.latencies))?;
        writeln!(f, "fault to first message elsewhere: {}", Quantiles(&self.interruptions))?;
        write!(f, "end of a fault to nothing missing: {}", Quantiles(&self.recoveries))?;
        self.told.iter().try_for_each(|told| write!(f, "\n{told}"))
    }
}

struct Quantiles<'a>(&'a [Duration]);

impl fmt::Display for Quantiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(most) = self.0.last() else { return f.write_str("none") };
        let at = |part: usize| self.0[(self.0.len() * part / 100).min(self.0.len() - 1)];
        let count = self.0.len();
        write!(f, "p50 {:?}, p99 {:?}, most {most:?}, of {count}", at(50), at(99))
    }
}
