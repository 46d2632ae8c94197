//! Many nodes under one licence, which hear of each other by gossip alone, in paused time.

use super::*;
use crate::{
    cluster::warden::{Denied, Permit, Warden},
    license::{Grant, SigningKey, Terms},
};

struct Licensed {
    gossip: Arc<Gossip>,
    warden: Warden,
}

impl Licensed {
    /// Starts a node that trusts the vendor, and has a licence for `nodes` if there is a number.
    async fn start(net: &Net, id: u64, nodes: Option<u32>) -> Self {
        let gossip = net.start(id, &net.tasks).await;
        gossip.meet(member(1).1);
        let vendor = SigningKey::from_bytes([7; 32]);
        let issue = |nodes| vendor.issue(&Grant::new("Example Ltd", nodes).unwrap()).unwrap();
        let (license, unlicensed) = (nodes.map(issue), 1.try_into().ok());
        let vendors = vec![vendor.public_key()];
        let terms = Terms { license, vendors, unlicensed, waits: false };
        let warden = Warden::new(member(id).0, terms, "chat", now(), clock::calendar());
        Self { gossip, warden }
    }

    async fn look(&mut self) {
        let news = self.gossip.news().borrow().clone();
        let mut told = news.papers;
        told.retain(|node, _| self.gossip.members().borrow().contains_key(node));
        let has_left = |node| news.left.contains(&node);
        self.warden.handle_members(&told, has_left, now(), clock::calendar());
        self.gossip.present(&self.warden.papers(clock::calendar())).await;
    }

    fn permit(&self) -> Permit {
        self.warden.licensed().permits.borrow().clone()
    }
}

/// Lets all of them look around for a while.
async fn run(nodes: &mut [Licensed], duration: Duration) {
    let end = now() + duration;
    while now() < end {
        for node in &mut *nodes {
            node.look().await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Goal: with a licence for 27 that one of them has, 27 nodes run that were started at once, and the
/// next one does not, and is told why.
#[tokio::test(start_paused = true)]
async fn as_many_nodes_are_active_as_the_licence_of_one_of_them_is_for() {
    let net = Net::default();
    let mut nodes = Vec::new();
    for id in 1..=27 {
        nodes.push(Licensed::start(&net, id, (id == 13).then_some(27)).await);
    }
    run(&mut nodes, Duration::from_secs(5)).await;
    assert!(nodes.iter().all(|node| node.permit() == Permit::Granted));

    nodes.push(Licensed::start(&net, 28, None).await);
    run(&mut nodes, Duration::from_secs(5)).await;
    let denied = Permit::Denied(Denied { max: 27, active: 27, reason: None });
    assert_eq!(nodes.pop().map(|late| late.permit()), Some(denied));
    assert!(nodes.iter().all(|node| node.permit() == Permit::Granted));

    // Of two that start once there is a place, one takes it.
    nodes.pop().expect("there are 27").gossip.leave().await;
    for id in [29, 30] {
        nodes.push(Licensed::start(&net, id, None).await);
    }
    run(&mut nodes, Duration::from_secs(5)).await;
    let granted = nodes.iter().filter(|node| node.permit() == Permit::Granted).count();
    assert_eq!(granted, 27);
    assert_eq!(*net.refused.lock(), [], "what is said of licences must pass the check");
}
