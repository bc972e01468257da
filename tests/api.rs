//! Objects against a real API server: etcd and kube-apiserver, nothing else. There are no
//! controllers and no nodes; where a test needs what they write, it writes it itself.

#[path = "api/collecting.rs"]
mod collecting;
#[path = "api/deleting.rs"]
mod deleting;
#[path = "api/order.rs"]
mod order;
#[path = "api/readiness.rs"]
mod readiness;
#[path = "api/refusals.rs"]
mod refusals;
#[path = "api/scenarios.rs"]
mod scenarios;
#[path = "api/server.rs"]
mod server;
#[path = "api/unchanged.rs"]
mod unchanged;
#[path = "api/waiting.rs"]
mod waiting;
