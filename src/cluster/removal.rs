//! Removing containers, so that they are gone when it is done: also those that go already, because the
//! engine ends what a program that was killed had asked for.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as EngineError;
use bollard::query_parameters::RemoveContainerOptionsBuilder;
use tokio::time::Instant;

use super::Error;
use crate::images::engine;

/// How long the engine may take for a removal that it has begun.
const GOING: Duration = Duration::from_secs(30);
/// The pause between looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Removes a container with the volumes that have no name. One that is not there is no error.
///
/// # Errors
/// [`Error::Engine`].
pub(super) async fn container(docker: &Docker, id: &str, name: &str) -> Result<(), Error> {
    let begin = Instant::now();
    loop {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match docker.remove_container(id, Some(options)).await {
            Err(error) if is_gone(&error) => return Ok(()),
            // "Removal … is already in progress": volumes and networks are in use until it has ended.
            Err(EngineError::DockerResponseServerError { status_code: 409, .. }) if begin.elapsed() < GOING => {
                tokio::time::sleep(PAUSE).await;
            }
            result => return Ok(result.map_err(engine::Error::request(format!("removing the container {name}")))?),
        }
    }
}

/// Whether the engine has nothing of that name.
pub(super) fn is_gone(error: &EngineError) -> bool {
    matches!(error, EngineError::DockerResponseServerError { status_code: 404, .. })
}
