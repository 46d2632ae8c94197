//! What the notes say of the promises.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, fs,
    io::{self, BufWriter, Write},
    path::Path,
    time::Duration,
};

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
    sent: usize,
    acknowledged: usize,
    failed: usize,
    /// How many were acknowledged by so many nodes.
    nodes: BTreeMap<usize, usize>,
    received: usize,
    received_bare: usize,
    lost: usize,
    duplicates: usize,
    disorder: usize,
    holes: usize,
    gaps: usize,
    expired: usize,
    /// From the fault to the first message on another connection.
    interruptions: Vec<Duration>,
    /// From the push to the acknowledgement.
    latencies: Vec<Duration>,
    told: Vec<String>,
}

/// Judges what happened.
pub(crate) fn judge(notes: &[Note], subscribers: &[Subscriber]) -> Verdict {
    let mut verdict = Verdict { notes: notes.to_vec(), ..Verdict::default() };
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
        wrong == 0 && self.acknowledged == self.sent
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
        let mut has = BTreeMap::<usize, BTreeSet<u64>>::new();
        let (mut gaps, mut hit, mut is_elsewhere) = (0, None, false);
        for note in notes {
            match note.what {
                What::Received(publisher, number) => {
                    self.received += 1;
                    if let Some(since) = hit.take_if(|_| is_elsewhere) {
                        self.interruptions.push(note.at.saturating_sub(since));
                    }
                    let has = has.entry(publisher).or_default();
                    let is_behind = has.last().is_some_and(|&last| number < last);
                    if !has.insert(number) {
                        self.duplicates += 1;
                        self.tell(|| format!("{:?} {name:?}: {publisher} {number} twice", note.at));
                    } else if is_behind {
                        self.disorder += 1;
                        self.tell(|| format!("{:?} {name:?}: {publisher} {number} late", note.at));
                    }
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
            let lost: Vec<_> = numbers.difference(has.get(publisher).unwrap_or(&empty)).collect();
            // What lies in a gap was told of: but then there must be a gap.
            if gaps == 0 && !lost.is_empty() {
                self.lost += lost.len();
                let few: Vec<_> = lost.iter().take(TOLD).collect();
                self.tell(|| format!("{name:?} lost {} of {publisher}: {few:?}", lost.len()));
            }
        }
    }

    /// Who has a new session for each connection gets everything on each, from some place on.
    fn judge_bare(&mut self, name: Name, notes: &[&Note]) {
        let mut next = HashMap::new();
        for note in notes {
            match note.what {
                What::Connected => next.clear(),
                What::Received(publisher, number) => {
                    self.received_bare += 1;
                    let expected = next.insert(publisher, number + 1).unwrap_or(number);
                    if expected == number {
                        continue;
                    }
                    match number > expected {
                        true => self.holes += 1,
                        false => self.disorder += 1,
                    }
                    self.tell(|| {
                        let at = note.at;
                        format!("{at:?} {name:?}: {publisher} {number} instead of {expected}")
                    });
                }
                _ => {}
            }
        }
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.told.len() < TOLD {
            self.told.push(what());
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, acknowledged, failed, received, received_bare, .. } = self;
        writeln!(f, "sent {sent}, acknowledged {acknowledged}, failed {failed}")?;
        writeln!(f, "acknowledged by how many nodes: {:?}", self.nodes)?;
        writeln!(f, "received {received}, by bare WebSockets {received_bare}")?;
        writeln!(f, "lost {} (S1), duplicates {} (S2)", self.lost, self.duplicates)?;
        writeln!(f, "out of order {} (S3), silent holes {} (S9)", self.disorder, self.holes)?;
        writeln!(f, "gaps told {}, of them sessions that expired {}", self.gaps, self.expired)?;
        writeln!(f, "push to acknowledgement: {}", Quantiles(&self.latencies))?;
        write!(f, "fault to first message elsewhere: {}", Quantiles(&self.interruptions))?;
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
