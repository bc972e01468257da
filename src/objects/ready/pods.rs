//! What keeps a pod from running, by its own status.

use std::fmt;

use serde_json::Value;

/// How long to hope, by the kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// The image can't be had.
    Image,
    /// The container can't be made: a missing secret, a bad command.
    Container,
    /// The container ends again and again.
    Crash,
    /// No node takes the pod.
    Scheduling,
    /// The pod has ended for good.
    Ended,
}

impl fmt::Display for Class {
    /// As in "the grace for images".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "images",
            Self::Container => "containers",
            Self::Crash | Self::Ended => "crashes",
            Self::Scheduling => "scheduling",
        })
    }
}

/// What is wrong with a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The container; `None` where it concerns the pod as a whole.
    pub container: Option<String>,
    /// The reason as Kubernetes writes it, `ImagePullBackOff`.
    pub reason: String,
    /// The message that goes with it, possibly empty.
    pub message: String,
    /// What kind of trouble it is.
    pub class: Class,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(container) = &self.container {
            write!(f, "container {container}: ")?;
        }
        f.write_str(&self.reason)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

/// The first trouble of a pod, or `None` if it runs or is on its way.
#[must_use]
pub fn trouble(pod: &Value) -> Option<Trouble> {
    let status = &pod["status"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if status["phase"] == "Succeeded" {
        return None;
    }
    if status["phase"] == "Failed" {
        let (container, reason, message) =
            ended_container(status).unwrap_or_else(|| (None, text(&status["reason"]), text(&status["message"])));
        let reason = if reason.is_empty() { "Failed".to_owned() } else { reason };
        return Some(Trouble { container, reason, message, class: Class::Ended });
    }
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(scheduled) = conditions.iter().find(|condition| condition["type"] == "PodScheduled")
        && scheduled["status"] == "False"
    {
        return Some(Trouble {
            container: None,
            reason: text(&scheduled["reason"]),
            message: text(&scheduled["message"]),
            class: Class::Scheduling,
        });
    }
    containers(status).find_map(container_trouble)
}

/// What a pod that is on its way still lacks; `None` if it is ready, in trouble or has ended.
#[must_use]
pub(super) fn lacking(pod: &Value) -> Option<String> {
    let status = &pod["status"];
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let holds =
        |name: &str| conditions.iter().any(|condition| condition["type"] == name && condition["status"] == "True");
    if matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")) || holds("Ready") || trouble(pod).is_some() {
        return None;
    }
    if !holds("PodScheduled") {
        return Some("it is not scheduled".to_owned());
    }
    let unready = containers(status).filter(|container| {
        let ended_well = container["state"]["terminated"]["exitCode"] == 0;
        container["ready"] == false && !ended_well
    });
    // Those that come later wait for it.
    let first = unready.into_iter().next()?;
    let name = first["name"].as_str().unwrap_or_default();
    Some(match first["state"]["waiting"]["reason"].as_str() {
        Some(reason) => format!("container {name}: {reason}"),
        None => format!("container {name} is not ready"),
    })
}

fn containers(status: &Value) -> impl Iterator<Item = &Value> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|field| status[field].as_array().map(Vec::as_slice).unwrap_or_default())
}

fn container_trouble(container: &Value) -> Option<Trouble> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let trouble = |reason: String, message: String, class| {
        Some(Trouble { container: Some(text(&container["name"])), reason, message, class })
    };
    let waiting = &container["state"]["waiting"];
    let reason = text(&waiting["reason"]);
    let message = text(&waiting["message"]);
    match reason.as_str() {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "ImageInspectError"
        | "RegistryUnavailable" => return trouble(reason, message, Class::Image),
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreStartHookError"
        | "PostStartHookError" => return trouble(reason, message, Class::Container),
        "CrashLoopBackOff" => {
            let last = ended(&container["lastState"]["terminated"]);
            return trouble(reason, last.unwrap_or(message), Class::Crash);
        }
        _ => {}
    }
    let restarts = container["restartCount"].as_i64().unwrap_or_default();
    if let Some(how) = ended(&container["state"]["terminated"]) {
        return trouble("Terminated".to_owned(), how, Class::Crash);
    }
    if restarts > 0
        && container["ready"] == false
        && container["started"] != true
        && let Some(how) = ended(&container["lastState"]["terminated"])
    {
        return trouble("Restarted".to_owned(), how, Class::Crash);
    }
    None
}

/// How a container ended, unless it ended well.
fn ended(terminated: &Value) -> Option<String> {
    let code = terminated["exitCode"].as_i64().filter(|code| *code != 0)?;
    let text = |field: &str| terminated[field].as_str().unwrap_or_default();
    let mut how = format!("ended with exit code {code}");
    if !matches!(text("reason"), "" | "Error") {
        how = format!("{how} ({})", text("reason"));
    }
    if !text("message").is_empty() {
        how = format!("{how}: {}", text("message").trim_end());
    }
    Some(how)
}

fn ended_container(status: &Value) -> Option<(Option<String>, String, String)> {
    containers(status).find_map(|container| {
        let how = ended(&container["state"]["terminated"])?;
        Some((container["name"].as_str().map(str::to_owned), "Failed".to_owned(), how))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(container: Value) -> Option<Trouble> {
        let mut pod = json!({"status": {"phase": "Pending"}});
        pod["status"]["containerStatuses"] = Value::Array(vec![container]);
        trouble(&pod)
    }

    #[test]
    fn an_image_that_can_not_be_had_is_told_with_its_container() {
        let found = pod(json!({"name": "c", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}));
        let found = found.expect("a trouble");
        assert_eq!((found.class, found.to_string().as_str()), (Class::Image, "container c: ErrImagePull: not found"));
    }

    #[test]
    fn a_pod_on_its_way_has_no_trouble() {
        assert_eq!(pod(json!({"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}})), None);
        assert_eq!(pod(json!({"name": "c", "state": {"running": {}}, "ready": false, "restartCount": 0})), None);
        assert_eq!(trouble(&json!({"status": {"phase": "Pending"}})), None);
        assert_eq!(trouble(&json!({})), None);
    }

    #[test]
    fn a_pod_on_its_way_says_what_it_lacks() {
        let pod = |conditions: Value, containers: Value| json!({"status": {"phase": "Pending", "conditions": conditions, "containerStatuses": containers}});
        let scheduled = json!([{"type": "PodScheduled", "status": "True"}]);
        let waiting = json!([{"name": "c", "ready": false, "state": {"waiting": {"reason": "ContainerCreating"}}}]);
        let running = json!([{"name": "a", "ready": true, "state": {"running": {}}},
            {"name": "c", "ready": false, "state": {"running": {}}}]);
        assert_eq!(lacking(&pod(json!([]), json!([]))).as_deref(), Some("it is not scheduled"));
        assert_eq!(lacking(&pod(scheduled.clone(), waiting)).as_deref(), Some("container c: ContainerCreating"));
        assert_eq!(lacking(&pod(scheduled.clone(), running)).as_deref(), Some("container c is not ready"));
        assert_eq!(lacking(&pod(json!([{"type": "Ready", "status": "True"}]), json!([]))), None);
        let pulling = json!([{"name": "c", "ready": false, "state": {"waiting": {"reason": "ErrImagePull"}}}]);
        assert_eq!(lacking(&pod(scheduled, pulling)), None);
    }

    #[test]
    fn a_crash_is_told_by_how_it_ended() {
        let last = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        let looping = json!({"name": "c", "restartCount": 3, "ready": false, "lastState": last,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}});
        let found = pod(looping).expect("a trouble");
        assert_eq!(found.to_string(), "container c: CrashLoopBackOff: ended with exit code 137 (OOMKilled)");
        let between =
            json!({"name": "c", "restartCount": 3, "ready": false, "lastState": last, "state": {"running": {}}});
        assert_eq!(pod(between).expect("a trouble").class, Class::Crash);
        let well = json!({"name": "c", "state": {"terminated": {"exitCode": 0}}});
        assert_eq!(pod(well), None);
    }

    #[test]
    fn init_containers_count_and_come_first() {
        let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
        let found = trouble(&json!({"status": {"phase": "Pending",
            "initContainerStatuses": [{"name": "i", "state": waiting("CreateContainerConfigError")}],
            "containerStatuses": [{"name": "c", "state": waiting("PodInitializing")}],
        }}));
        let found = found.expect("a trouble");
        assert_eq!((found.container.as_deref(), found.class), (Some("i"), Class::Container));
    }

    #[test]
    fn a_pod_that_no_node_takes_is_told() {
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"});
        let found = trouble(&json!({"status": {"phase": "Pending", "conditions": [condition]}})).expect("a trouble");
        assert_eq!((found.class, found.to_string().as_str()), (Class::Scheduling, "Unschedulable: 0/1 nodes"));
    }

    #[test]
    fn a_pod_that_ended_for_good_is_told() {
        let found = trouble(&json!({"status": {"phase": "Failed", "reason": "Evicted", "message": "disk"}}));
        assert_eq!(found.expect("a trouble").to_string(), "Evicted: disk");
        let container = json!({"name": "c", "state": {"terminated": {"exitCode": 2}}});
        let found = trouble(&json!({"status": {"phase": "Failed", "containerStatuses": [container]}}));
        assert_eq!(found.expect("a trouble").to_string(), "container c: Failed: ended with exit code 2");
    }
}
