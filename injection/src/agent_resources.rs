//! What the agent's container requests and is limited to: the operator's settings, what the pod
//! asks for within their bounds, and what keeps the pod in its class of service.

use contract::annotations::MAX_VALUE_BYTES;
use contract::{AgentResources, Annotations, Quantity};
use serde::Serialize;

use crate::app_container::AppContainer;
use crate::config::{InjectionConfig, MIN_AGENT_MEMORY, Resources};
use crate::diagnostics::{Diagnostics, Violation, Warning, printable};
use crate::pod::{Pod, Resource};

/// The annotation by which LimitRanger says whose requests and limits it has set.
const LIMIT_RANGER: &str = "kubernetes.io/limit-ranger";

/// The agent's container's `resources`, and the size of the secrets' volume.
pub(crate) struct ContainerResources {
    pub(crate) requirements: AgentRequirements,
    pub(crate) volume_size: Quantity,
}

/// The `resources` of a container, with the fields in the order of their names.
#[derive(Serialize)]
pub(crate) struct AgentRequirements {
    #[serde(skip_serializing_if = "AgentQuantities::is_empty")]
    limits: AgentQuantities,
    #[serde(skip_serializing_if = "AgentQuantities::is_empty")]
    requests: AgentQuantities,
}

/// Amounts of each resource.
#[derive(Clone, Default, Serialize)]
struct AgentQuantities {
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<String>,
}

impl AgentQuantities {
    fn new(cpu: Option<&Quantity>, memory: Option<&Quantity>) -> Self {
        let text = |quantity: &Quantity| quantity.as_str().to_owned();
        Self { cpu: cpu.map(text), memory: memory.map(text) }
    }

    fn is_empty(&self) -> bool {
        self.cpu.is_none() && self.memory.is_none()
    }
}

/// Derives them from the operator's settings and the pod.
pub(crate) fn resolve(
    pod: &Pod<'_>,
    annotations: &Annotations,
    containers: &[AppContainer<'_>],
    config: &InjectionConfig,
    diagnostics: &mut Diagnostics,
) -> ContainerResources {
    let asked = &annotations.agent_resources;
    check(asked, config, diagnostics);
    if asked.memory_limit.is_none() {
        warn_of_limit_range(pod, containers, config, diagnostics);
    }
    let resources = asked_for(asked, config);
    let volume_size = volume_size(pod, asked, config);
    let of_pod = pod.spec.resources.as_ref().filter(|it| it.is_set());
    let requirements = if let Some(of_pod) = of_pod {
        let shared = |of| (of_pod.request(of).is_some(), of_pod.limit(of).is_some());
        beside_pod_level(&resources, shared)
    } else if is_guaranteed(containers) {
        let cpu = asked.cpu_limit.as_ref().or(asked.cpu_request.as_ref());
        let cpu = cpu.unwrap_or(&resources.guaranteed_cpu);
        let both = AgentQuantities::new(Some(cpu), Some(&resources.memory_limit));
        AgentRequirements { limits: both.clone(), requests: both }
    } else {
        let Resources { cpu_request, memory_request, cpu_limit, memory_limit, .. } = &resources;
        AgentRequirements {
            limits: AgentQuantities::new(cpu_limit.as_ref(), Some(memory_limit)),
            requests: AgentQuantities::new(Some(cpu_request), Some(memory_request)),
        }
    };
    ContainerResources { requirements, volume_size }
}

/// Refuses what is outside the operator's bounds, and requests over their limits.
fn check(asked: &AgentResources, config: &InjectionConfig, diagnostics: &mut Diagnostics) {
    let AgentResources { cpu_request, memory_request, cpu_limit, memory_limit } = asked;
    let least = Quantity::constant(MIN_AGENT_MEMORY);
    let most_memory = larger(&config.agent_max_memory, &config.resources.memory_limit);
    for (name, quantity, most) in [
        ("requests.cpu", cpu_request, &config.agent_max_cpu),
        ("limits.cpu", cpu_limit, &config.agent_max_cpu),
        ("requests.memory", memory_request, most_memory),
        ("limits.memory", memory_limit, most_memory),
    ] {
        let Some(quantity) = quantity else { continue };
        let is_small = name == "limits.memory" && quantity.amount() < least.amount();
        if is_small || quantity.amount() > most.amount() {
            let (quantity, most) = (quantity.clone(), most.clone());
            let least = (name == "limits.memory").then(|| least.clone());
            diagnostics.deny(Violation::AgentResourceBounds { name, quantity, least, most });
        }
    }
    let settings = &config.resources;
    let cpu_limit = cpu_limit.as_ref().or(settings.cpu_limit.as_ref());
    let memory_limit = Some(memory_limit.as_ref().unwrap_or(&settings.memory_limit));
    for (name, request, limit) in
        [("cpu", cpu_request, cpu_limit), ("memory", memory_request, memory_limit)]
    {
        if let (Some(request), Some(limit)) = (request, limit)
            && request.amount() > limit.amount()
        {
            let (request, limit) = (request.clone(), limit.clone());
            diagnostics.deny(Violation::AgentRequestOverLimit { name, request, limit });
        }
    }
}

fn larger<'q>(one: &'q Quantity, other: &'q Quantity) -> &'q Quantity {
    if one.amount() > other.amount() { one } else { other }
}

fn smaller<'q>(one: &'q Quantity, other: &'q Quantity) -> &'q Quantity {
    if one.amount() < other.amount() { one } else { other }
}

/// The operator's settings with what the pod asks for. Requests follow a lower limit.
fn asked_for(asked: &AgentResources, config: &InjectionConfig) -> Resources {
    let settings = &config.resources;
    let cpu_limit = asked.cpu_limit.clone().or_else(|| settings.cpu_limit.clone());
    let memory_limit = asked.memory_limit.as_ref().unwrap_or(&settings.memory_limit).clone();
    let cpu_request = asked.cpu_request.as_ref().unwrap_or(&settings.cpu_request);
    let memory_request = asked.memory_request.as_ref().unwrap_or(&settings.memory_request);
    Resources {
        cpu_request: cpu_limit.as_ref().map_or(cpu_request, |it| smaller(cpu_request, it)).clone(),
        memory_request: smaller(memory_request, &memory_limit).clone(),
        cpu_limit,
        memory_limit,
        guaranteed_cpu: settings.guaranteed_cpu.clone(),
    }
}

/// The operator's size, or half of a smaller memory limit: the volume's pages are charged to the
/// agent, or to the pod.
fn volume_size(pod: &Pod<'_>, asked: &AgentResources, config: &InjectionConfig) -> Quantity {
    let of_pod = pod.spec.resources.as_ref().and_then(|it| it.limit(Resource::Memory));
    let of_pod = of_pod.and_then(|text| text.parse::<Quantity>().ok());
    let limits = [asked.memory_limit.as_ref(), of_pod.as_ref()].into_iter().flatten();
    let halves = limits.map(|limit| limit.amount() / 2.0).filter(|half| *half >= 1.0);
    // An amount beyond the integer's range becomes its largest, which no volume has.
    let halves = halves.map(|half| Quantity::bytes(half as u64));
    halves.fold(config.volume_size.clone(), |size, half| smaller(&size, &half).clone())
}

/// Whether the pod is of the class Guaranteed if the agent's limits equal its requests.
fn is_guaranteed(containers: &[AppContainer<'_>]) -> bool {
    let mut all = containers.iter().map(|app| app.container.resources.as_ref());
    !containers.is_empty() && all.all(|it| it.is_some_and(|it| it.is_guaranteed()))
}

/// Beside requests and limits of the whole pod (`spec.resources`), which alone decide its class.
/// `shared` says whether the pod has a request and a limit of a resource.
///
/// Where the pod has a limit, the agent names nothing: its requests would count against the pod's,
/// and the API server takes a missing request of the pod from its containers or, if they have none,
/// from its limit. Where the pod has a request alone, the agent's is 0 beside its limit, which the
/// request would else be.
fn beside_pod_level(
    resources: &Resources,
    shared: impl Fn(Resource) -> (bool, bool),
) -> AgentRequirements {
    let none = Quantity::constant("0");
    let of = |resource, request, limit| match shared(resource) {
        (_, true) => (None, None),
        (true, false) => (Some(&none), limit),
        (false, false) => (Some(request), limit),
    };
    let Resources { cpu_request, memory_request, cpu_limit, memory_limit, .. } = resources;
    let (cpu_request, cpu_limit) = of(Resource::Cpu, cpu_request, cpu_limit.as_ref());
    let (memory_request, memory_limit) = of(Resource::Memory, memory_request, Some(memory_limit));
    AgentRequirements {
        limits: AgentQuantities::new(cpu_limit, memory_limit),
        requests: AgentQuantities::new(cpu_request, memory_request),
    }
}

/// Warns if LimitRanger has given a container a memory limit below the agent's: its `max` may be
/// as low, and then the API server refuses the pod without naming the cure.
fn warn_of_limit_range(
    pod: &Pod<'_>,
    containers: &[AppContainer<'_>],
    config: &InjectionConfig,
    diagnostics: &mut Diagnostics,
) {
    let said = pod.annotation(LIMIT_RANGER).filter(|said| said.len() <= MAX_VALUE_BYTES);
    let Some(said) = said else { return };
    let agent = &config.resources.memory_limit;
    let limited = |name: &str| {
        said.split(';').any(|clause| {
            let is_of = clause.trim_end().strip_suffix(name).is_some_and(|it| it.ends_with(' '));
            is_of && clause.contains(" limit for ") && clause.contains("memory")
        })
    };
    for app in containers.iter().filter(|app| limited(&app.container.name)) {
        let of_app = app.container.resources.as_ref().and_then(|it| it.limit(Resource::Memory));
        let limit = of_app.and_then(|text| text.parse::<Quantity>().ok());
        if let Some(limit) = limit.filter(|limit| limit.amount() < agent.amount()) {
            let (container, agent) = (printable(&app.container.name), agent.clone());
            return diagnostics.warn(Warning::LimitRange { container, limit, agent });
        }
    }
}
