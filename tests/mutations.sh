#!/usr/bin/env bash
# Proves that the simulation can fail: takes out, one by one, lines that keep an invariant, and
# expects the simulation to notice each. Works on a copy; the tree is left alone.
#
#   tests/mutations.sh            tries all
#   tests/mutations.sh departed   tries those whose name contains this
#
#   SEEDS=n             how many seeds each mutation may survive; 2,000 if it is not set
#   CARGO_TARGET_DIR    where to build; the crate's own target directory if it is not set
#
# Prints a line for each: what was taken out, what noticed, and after how many seeds. Ends with
# failure if one was not noticed, or no longer fits the source.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
export SEEDS=${SEEDS:-2000}
only=${1:-}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$root/Cargo.toml" "$root/Cargo.lock" "$root/README.md" "$root/src" "$copy/"
mkdir "$copy/tests"
cp "$root/tests/simulation.rs" "$copy/tests/"
# What the simulation does not need is not copied, so the manifest must not ask for it.
sed -i '/^\[\[\(bench\|example\|test\)\]\]/,/^$/d; /^readme/d' "$copy/Cargo.toml"
missed=0

# mutate <name> <file below src/proto> <perl expression>: one thing is taken out, and put back.
mutate() {
  local name=$1 file=$copy/src/proto/$2 expression=$3 log=$copy/log
  [[ $name == *"$only"* ]] || return 0
  cp "$file" "$copy/original"
  perl -0pi -e "$expression" "$file"
  if cmp -s "$file" "$copy/original"; then
    printf '%-52s %s\n' "$name" 'NO LONGER FITS THE SOURCE'
    missed=$((missed + 1))
    return 0
  fi
  if ! (cd "$copy" && cargo test --quiet --no-default-features --features sim \
    --test simulation --no-run) >"$log" 2>&1; then
    printf '%-52s %s\n' "$name" 'DOES NOT BUILD'
    missed=$((missed + 1))
  elif (cd "$copy" && cargo test --quiet --no-default-features --features sim \
    --test simulation every_promise) >"$log" 2>&1; then
    printf '%-52s %s\n' "$name" "NOT NOTICED in $SEEDS seeds"
    missed=$((missed + 1))
  else
    printf '%-52s %s\n' "$name" "$(perl -ne \
      'if (/\d+ of (\d+) seeds failed, first seed \d+: ([^:]*):/) { print "$2, after $1 seeds"; exit }' "$log")"
  fi
  cp "$copy/original" "$file"
}

mutate 'a log drops what not all live nodes have' topic_log.rs \
  's/is_settled && stable\.covers\(entry\.id\) && age/is_settled && age/'
mutate 'a log drops what not all sessions have' topic_log.rs \
  's/is_settled && stable\.covers/stable.covers/'
mutate 'a log drops at once, without the floor' topic_log.rs \
  's/ && age >= self\.limits\.floor \{/ {/'
mutate 'what a full log loses is not noted' topic_log.rs \
  's/self\.lost\.advance\(id\.origin, id\.seq\.next\(\)\);/let _ = id;/'
mutate 'what is taken back before it is heard of is forgotten' replica/withdrawals.rs \
  's/self\.early_withdrawals\.push_back\(\(topic\.clone\(\), id, from\)\);/let _ = from;/'
mutate 'a snapshot does not say what was taken back' snapshot.rs \
  's/for \(topic, id, from\) in replica\.withdrawn\(\) \{/for (topic, id, from) in replica.withdrawn().take(0) {/'
mutate 'what is taken back is given all the same' topic_log.rs \
  's/Entry::new\(id, entry\.topic\.clone\(\), to, message\)/Entry::new(id, entry.topic.clone(), entry.to.clone(), message)/'
mutate 'what is given is acknowledged before it is confirmed' attachment.rs \
  's/self\.marked\.is_none\(\) && !self\.unmarked && //'
mutate 'what is passed over is never acknowledged' attachment.rs \
  's/self\.skipped \|= reader/let _ = reader/'
mutate 'a reader passes what lies behind a leave for good' attachment.rs \
  's/continue; \/\/ It has left/self.sent.advance(entry.id().origin, entry.id().seq.next()); continue; \/\/ It has left/'
mutate 'a reader gives what lies behind a leave' attachment.rs \
  's/if self\.until\.as_ref\(\)\.is_some_and\(\|until\| !until\.covers\(entry\.id\(\)\)\)/if false/'
mutate 'a report is applied before what it speaks of' core/links.rs \
  's/if self\.replica\.knows\(&report\.as_of\) \{/if true {/'
mutate 'a report speaks of sessions its sender did not know' progress.rs \
  's/\s+&& session\.claim\.is_known_at\(&self\.as_of\)\s+&& membership\.is_known_at\(&self\.as_of\)//'
mutate 'a report speaks of what its sender applied only' core/links.rs \
  's/Report::of\(self\.replica\.known\(\)/Report::of(self.replica.applied()/'
mutate 'operations are applied out of order' replica.rs \
  's/if id\.seq != self\.applied\.get/if id.seq < self.applied.get/'
mutate 'what a snapshot no longer names stays' replica/restore.rs \
  's/self\.drop_absent\(&named, view\);//'
mutate 'a snapshot does not say what was lost' snapshot.rs \
  's/if \*lost != Position::new\(\)/if false/'
mutate 'a snapshot does not say what was closed' snapshot.rs \
  's/for \(session, closed\) in replica\.closed_since\(have\)/for (session, closed) in replica.closed_since(have).take(0)/'
mutate 'the parts of two snapshots mix' core/links.rs \
  's/Some\(older\) if older\.number < number => Arriving::new\(number\),//; s/snapshot\.number > number \|\|//'
mutate 'a claim ends no older attachment elsewhere' core/takeover.rs \
  's/self\.end_attachment\(session, Ended::Superseded\);\n(\s+self\.release)/$1/'
mutate 'a closed session may be claimed' replica/fold.rs \
  's/if !self\.tombstones\.contains_key\(&id\) \{\n(\s+self\.upsert)/if true {\n$1/'
mutate 'a departed session may be told to be a member' replica/fold.rs \
  's/known\.depart\(topic, left\);/let _ = (known, topic, left);/'
mutate 'a session that left departs nowhere' core/sweep.rs \
  's/self\.end_departed\(key, now\);//'
mutate 'a session rejoins behind what it has yet to get' core.rs \
  's/return member\.acknowledged\.clone\(\);/let _ = member;\n            return self.replica.applied().clone();/'
mutate 'nobody asks for what is missing' core/sweep.rs \
  's/self\.pull_missing\(now\);//'
mutate 'strangers count as dead at once' core/sweep.rs \
  's/const STRANGER_FOR: Duration = Duration::from_secs\(5\);/const STRANGER_FOR: Duration = Duration::ZERO;/'
mutate 'strangers never count as dead' core/sweep.rs \
  's/self\.watch_strangers\(now\);//'
mutate 'the sessions of the dead are left alone' core/sweep.rs \
  's/for session in orphans \{/for session in orphans.into_iter().take(0) {/'
mutate 'what was known of retired origins is forgotten' replica.rs \
  's/(        self\.applied\.forget\(origin\);)/$1\n        self.known.forget(origin);/'
mutate 'a message is dropped without being counted' topic_log.rs \
  's/self\.lose\(Ending::Dropped\(DropCause::TopicBytes\), ledger\)/if let Some(entry) = self.pop() { self.lost.advance(entry.id.origin, entry.id.seq.next()); }/'
mutate 'what expired is counted as acknowledged' topic_log.rs \
  's/self\.lose\(Ending::Expired, ledger\)/self.lose(Ending::Acknowledged, ledger)/'
mutate 'what closed topics counted is forgotten' topic.rs \
  's/self\.ledger\.close\(topic\.log\.accounting\(\)\);//'
mutate 'how a message ended is counted, but not remembered' topic_log.rs \
  's/ledger\.end\(entry\.id, how\);//'
mutate 'a receipt is not told that its message is gone' core.rs \
  's/self\.look_at_ended\(\);//'
mutate 'a receipt looks at its first session only' core/watches.rs \
  's/\(Some\(session\), Some\(settling\)\) =>/(Some(session), Some(settling)) if before == FIRST_SESSION =>/'
mutate 'a receipt counts the dead among those that have stored' core/fates.rs \
  's/let has = \|peer: &&_\|.*?;\s+self\.live\.iter\(\)\.filter\(has\)/self.peers.values().filter(|peer| peer.have.covers(id))/s'
mutate 'a push is acknowledged before it is stored elsewhere' core/pushes.rs \
  's/reachable => self\.stored_on_peers\(reachable\),/_ => own,/'
mutate 'the dead count as having stored a push' core/fates.rs \
  's/self\.live\.iter\(\)\.filter\(has\)\.count\(\)/self.peers.keys().filter(has).count()/'
mutate 'a push is known by its number only: nobody can handle it' replica/restore.rs \
  's/let news = known\.inbox\.open\(\)/let news = known.inbox.open().take(0)/'
mutate 'a snapshot tells the numbers of pushes, not the pushes' snapshot.rs \
  's/for open in inbox\.open\(\)/for open in inbox.open().take(0)/'
mutate 'nobody waits for what an operation follows' core/takeover.rs \
  's/is_next && !self\.replica\.applied\(\)\.covers\(\*after\)/false \&\& is_next \&\& !self.replica.applied().covers(*after)/'
mutate 'a takeover says nothing of what it follows' core/takeover.rs \
  's/if \*followed < next \{/if false \&\& *followed < next {/'
mutate 'a takeover waits for nothing' core/takeover.rs \
  's/Some\(next\) => here >= \*next,/Some(_) => true,/; s/const WAIT_FOR: Duration = Duration::from_secs\(3\);/const WAIT_FOR: Duration = Duration::ZERO;/'
mutate 'every node tells the handler' core/pushes.rs \
  's/if owner != self\.id \|\| self\.is_taking_over\(session\) \|\| self\.leaving \{/if owner.to_bits() == u64::MAX {/; s/\n\s+&& known\.claim\.node == self\.id\n\s+&& !self\.is_taking_over\(session\)//'
mutate 'the handler is told again after each takeover' inbox.rs \
  's/push\.begun = true;/push.begun = false;/; s/find\(\|push\| !push\.begun\)/next()/'
mutate 'a push is accepted as often as it comes' inbox.rs \
  's/if self\.has\(key, now\) \{\n\s+return false;/if self.has(key, now) \&\& false {\n            return false;/; s/self\.runs\.get\(epoch\)\.is_some_and\(\|run\| run\.has\(\*number\)\)/{ let _ = number; self.runs.get(epoch).is_none() \&\& false }/'
mutate 'what a handler did is forgotten when its node dies' replica.rs \
  's/known\.inbox\.note\(cause, id\);/let _ = (\&known.inbox, cause);/'
mutate 'what was done before need not come before' core.rs \
  's/self\.follow_journal\(id\.origin, id\.seq\.next\(\), now\);//'
mutate 'a push that is done is opened again' inbox.rs \
  's/None if is_done => \{\}/None if is_done \&\& false => {}/'
mutate 'a push that is handled before it is accepted opens' inbox.rs \
  's/(by\.seq\.next\(\)\);\n)\s+self\.remember\(key, now\);/$1        let _ = now;/'
mutate 'what follows the forgotten waits for ever' core/sweep.rs \
  's/self\.give_up_waiting\(now\);//'
mutate 'what a push led to does not follow the push' core/pushes.rs \
  's/if !self\.replica\.is_retired\(id\.origin\) \{/if false {/'
mutate 'what a live node has is given up' core/takeover.rs \
  's/is_dead_for\(GIVE_UP_AFTER\) && !is_coming/is_dead_for(GIVE_UP_AFTER) \&\& (true || is_coming)/'
mutate 'what is said behind what was given up is believed' core/doubts.rs \
  's/if doubt\.handled\.len\(\) < MAX_DOUBTED =>/if doubt.handled.len() > MAX_DOUBTED =>/'
mutate 'a node of which something is put off is forgotten' core/sweep.rs \
  's/is_long && !self\.takeovers\.puts_off\(node\)/is_long \&\& (true || self.takeovers.puts_off(node))/'
mutate 'a session waits for ever for what another node handled' core/sweep.rs \
  's/self\.close_idle\(now\);/let _ = Self::close_idle;/'
mutate 'a session is closed whatever it has pushed' core/pushes.rs \
  's/if is_own && !is_idle \{/if is_own \&\& !is_idle \&\& false {/'

exit "$((missed > 0))"
