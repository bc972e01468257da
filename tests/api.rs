//! Objects against a real API server: etcd and kube-apiserver, nothing else. There are no
//! controllers and no nodes; where a test needs what they write, it writes it itself.

#[path = "api/collecting.rs"]
mod collecting;
#[path = "api/convert.rs"]
mod convert;
#[path = "api/deleting.rs"]
mod deleting;
#[path = "api/graph.rs"]
mod graph;
#[path = "api/hook.rs"]
mod hook;
#[path = "api/interop.rs"]
mod interop;
#[path = "api/kills.rs"]
mod kills;
#[path = "api/limits.rs"]
mod limits;
#[path = "api/lost_line.rs"]
mod lost_line;
#[path = "api/order.rs"]
mod order;
#[path = "api/own.rs"]
mod own;
#[path = "api/packages.rs"]
mod packages;
#[path = "api/planned.rs"]
mod planned;
#[path = "api/programs.rs"]
mod programs;
#[path = "api/readiness.rs"]
mod readiness;
#[path = "api/refusals.rs"]
mod refusals;
#[path = "api/replacing.rs"]
mod replacing;
#[path = "api/restarts.rs"]
mod restarts;
#[path = "api/retiring.rs"]
mod retiring;
#[path = "api/scenarios.rs"]
mod scenarios;
#[path = "api/server.rs"]
mod server;
#[path = "api/skew.rs"]
mod skew;
#[path = "skipped/mod.rs"]
mod skipped;
#[path = "api/steps.rs"]
mod steps;
#[path = "api/stuck.rs"]
mod stuck;
#[path = "api/unchanged.rs"]
mod unchanged;
#[path = "api/waiting.rs"]
mod waiting;
#[path = "api/webhooks.rs"]
mod webhooks;
#[path = "api/wire.rs"]
mod wire;
