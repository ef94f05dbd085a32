//! Paths in a container.

/// The components of a path as the container runtime resolves them. A relative path starts at the
/// root too.
pub(crate) fn components(path: &str) -> Vec<&str> {
    let mut components = Vec::with_capacity(8);
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            component => components.push(component),
        }
    }
    components
}
