//! What the path of a cgroup says: the systemd unit, and the container with its runtime and its Kubernetes pod.
//!
//! Runtimes name their cgroups by fixed patterns, whatever the version of cgroups and whether systemd or the runtime itself
//! (cgroupfs driver) makes them, so no daemon has to be asked. The innermost container counts: that of a pod whose node is
//! itself a container.

use crate::model::{Cgroup, Container, ForeignText, Runtime};

/// Suffixes of units that have processes (systemd.unit(5)); slices only hold other cgroups.
const UNITS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

/// Scopes of containers and what follows the prefix: the id. Longer prefixes first; those of monitors are no containers.
const SCOPES: [(&str, Option<Runtime>); 9] = [
    ("crio-conmon-", None),
    ("libpod-conmon-", None),
    ("libpod-payload-", Some(Runtime::Podman)),
    ("docker-", Some(Runtime::Docker)),
    ("cri-containerd-", Some(Runtime::Containerd)),
    ("nerdctl-", Some(Runtime::Containerd)),
    ("crio-", Some(Runtime::CriO)),
    ("libpod-", Some(Runtime::Podman)),
    ("lxc.payload.", Some(Runtime::Lxc)),
];

/// Folders in which the cgroupfs driver puts one folder a container, named by its id alone.
const FOLDERS: [(&str, Runtime); 4] = [
    ("docker", Runtime::Docker),
    ("default", Runtime::Containerd),
    ("k8s.io", Runtime::Containerd),
    ("libpod_parent", Runtime::Podman),
];

/// Reads a path as `/proc/PID/cgroup` has it, or relative to the mount of the hierarchy.
#[must_use]
pub fn cgroup(path: &[u8]) -> Cgroup {
    let path = ForeignText::from_bytes(path);
    let mut unit = None;
    let mut container: Option<Container> = None;
    let mut pod = None;
    let mut parent = "";
    for part in path.raw().split('/').filter(|p| !p.is_empty()) {
        if UNITS.iter().any(|suffix| part.len() > suffix.len() && part.ends_with(suffix)) {
            // systemd puts a _ before names that would be taken for files of the kernel (cg_escape).
            unit = Some(ForeignText::from(part.strip_prefix('_').unwrap_or(part)));
        }
        if let Some(found) = pod_of(part) {
            container = None;
            pod = Some(found);
        }
        if let Some((runtime, id)) = container_of(parent, part, pod.is_some()) {
            container = Some(made(runtime, &id, pod.as_deref()));
        }
        parent = part;
    }
    let container = container.or_else(|| Some(made(Runtime::Kubernetes, "", Some(pod.as_deref()?))));
    Cgroup { path, unit, container }
}

fn made(runtime: Runtime, id: &str, pod: Option<&str>) -> Container {
    let shown = match (id, pod) {
        ("", Some(pod)) => pod,
        (id, _) if is_hash(id) => id.get(..12).unwrap_or(id),
        (id, _) => id,
    };
    Container {
        runtime,
        id: id.into(),
        pod: pod.map(ForeignText::from),
        name: format!("{}:{shown}", runtime.name()).as_str().into(),
    }
}

/// The runtime and the id of the container whose cgroup `part` is.
fn container_of(parent: &str, part: &str, in_pod: bool) -> Option<(Runtime, String)> {
    // The systemd driver's own notation where runc was told to use cgroupfs: `SLICE:cri-containerd:ID`.
    if let [_, prefix, id] = *part.split(':').collect::<Vec<_>>()
        && let Some((_, Some(runtime))) = SCOPES.iter().find(|(p, _)| p.trim_end_matches('-') == prefix)
    {
        return Some((*runtime, id.to_owned()));
    }
    let name = part.strip_suffix(".scope").unwrap_or(part);
    if let Some((prefix, runtime)) = SCOPES.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        let id = name.strip_prefix(prefix).filter(|id| !id.is_empty())?;
        // Without systemd's suffix only a real id tells a container from a folder of a similar name.
        let certain = name.len() < part.len() || is_hash(id) || *runtime == Some(Runtime::Lxc);
        return runtime.filter(|_| certain).map(|r| (r, id.to_owned()));
    }
    if let Some(machine) = name.strip_prefix("machine-").filter(|_| name.len() < part.len()) {
        return Some((Runtime::Machine, unescaped(machine)));
    }
    if let Some(machine) = part.strip_prefix("systemd-nspawn@").and_then(|p| p.strip_suffix(".service")) {
        return Some((Runtime::Machine, unescaped(machine)));
    }
    if matches!(parent, "lxc" | "lxc.payload") {
        return Some((Runtime::Lxc, part.to_owned()));
    }
    if !is_hash(part) {
        return None;
    }
    let by_folder = FOLDERS.iter().find(|(folder, _)| *folder == parent).map(|(_, runtime)| *runtime);
    let by_pod = in_pod.then_some(Runtime::Kubernetes);
    // Amazon ECS: /ecs/TASK/ID, of Docker.
    let runtime = by_folder.or(by_pod).unwrap_or(Runtime::Docker);
    Some((runtime, part.to_owned()))
}

/// The UID of the pod whose cgroup `part` is: `podUID`, `kubepods-burstable-podUID.slice` with `_` for `-`.
fn pod_of(part: &str) -> Option<String> {
    let slice = part.split(':').next().unwrap_or(part);
    let name = match slice.strip_suffix(".slice") {
        Some(slice) => {
            let (class, _) = slice.rsplit_once("-pod")?;
            class.contains("kubepods").then(|| slice.rsplit_once('-'))??.1
        }
        None => part,
    };
    let uid = name.strip_prefix("pod")?.replace('_', "-");
    // A UUID, or the 32 digits of a static pod.
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    let whole = digits == 32 && (uid.len() == 32 || uid.len() == 36);
    whole.then_some(uid)
}

fn is_hash(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Undoes systemd's `\xNN` (systemd-escape(1)).
fn unescaped(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    loop {
        rest = match rest {
            [] => break,
            [b'\\', b'x', hi, lo, tail @ ..] => {
                let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
                match (digit(hi), digit(lo)) {
                    (Some(hi), Some(lo)) => bytes.push(hi << 4 | lo),
                    _ => bytes.extend_from_slice(&[b'\\', b'x', *hi, *lo]),
                }
                tail
            }
            [b, tail @ ..] => {
                bytes.push(*b);
                tail
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "4f2a9c31d7b0e5f68192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8";
    const UID: &str = "1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901";

    /// Path, unit, container name, pod.
    type Case<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>);

    /// The same with a path of its own.
    type Known<'a> = (String, Option<&'a str>, Option<&'a str>, Option<&'a str>);

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn paths_of_every_runtime_and_driver_are_known() {
        let uid_ = UID.replace('-', "_");
        let scope = |prefix: &str| format!("{prefix}{ID}.scope");
        let docker = Some("docker:4f2a9c31d7b0");
        let containerd = Some("containerd:4f2a9c31d7b0");
        let crio = Some("cri-o:4f2a9c31d7b0");
        let podman = Some("podman:4f2a9c31d7b0");
        let kube = Some("kubernetes:4f2a9c31d7b0");
        let rootless = "/user.slice/user-1000.slice/user@1000.service/user.slice";
        let (ds, cs, os, ls) = (scope("docker-"), scope("cri-containerd-"), scope("crio-"), scope("libpod-"));
        let (ns, cm, pm) = (scope("nerdctl-"), scope("crio-conmon-"), scope("libpod-conmon-"));
        let pod_slice =
            format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice");
        let guaranteed = format!("/kubepods.slice/kubepods-pod{uid_}.slice");
        let kind = format!(
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{uid_}.slice"
        );
        let only_pod = format!("kubernetes:{UID}");
        let static_pod = UID.replace('-', "");
        let p = |text: String| text;
        let paths: Vec<Known<'_>> = vec![
            // systemd
            (p("/".into()), None, None, None),
            (p(String::new()), None, None, None),
            (p("/system.slice/nginx.service".into()), Some("nginx.service"), None, None),
            (p("/system.slice/nginx.service/workers".into()), Some("nginx.service"), None, None),
            (
                p("/system.slice/system-getty.slice/getty@tty1.service".into()),
                Some("getty@tty1.service"),
                None,
                None,
            ),
            (p("/user.slice/user-1000.slice/session-3.scope".into()), Some("session-3.scope"), None, None),
            (
                p("/user.slice/user-1000.slice/user@1000.service/app.slice/app-foo.service".into()),
                Some("app-foo.service"),
                None,
                None,
            ),
            (p("/init.scope".into()), Some("init.scope"), None, None),
            (p("/system.slice".into()), None, None, None),
            (p("/system.slice/_cgroup.service".into()), Some("cgroup.service"), None, None),
            (p("/../../system.slice/x.service".into()), Some("x.service"), None, None),
            // Docker: systemd driver (v1 and v2), cgroupfs driver, ECS
            (format!("/system.slice/{ds}"), Some(&ds), docker, None),
            (format!("/docker/{ID}"), None, docker, None),
            (format!("/docker/{ID}/init.scope"), Some("init.scope"), docker, None),
            (format!("{rootless}/{ds}"), Some(&ds), docker, None),
            (format!("/ecs/0123456789abcdef/{ID}"), None, docker, None),
            (p("/docker/buildkit".into()), None, None, None),
            (p("/system.slice/docker.service".into()), Some("docker.service"), None, None),
            (p("/system.slice/docker-cleanup.service".into()), Some("docker-cleanup.service"), None, None),
            // containerd
            (format!("{pod_slice}/{cs}"), Some(&cs), containerd, Some(UID)),
            (format!("{guaranteed}/{cs}"), Some(&cs), containerd, Some(UID)),
            (
                format!("/system.slice/kubepods-burstable-pod{uid_}.slice:cri-containerd:{ID}"),
                None,
                containerd,
                Some(UID),
            ),
            (
                format!("/system.slice/containerd.service/kubepods-pod{uid_}.slice:cri-containerd:{ID}"),
                Some("containerd.service"),
                containerd,
                Some(UID),
            ),
            (format!("/default/{ID}"), None, containerd, None),
            (format!("/user.slice/{ns}"), Some(&ns), containerd, None),
            // CRI-O, and its monitor, which is no container
            (format!("{pod_slice}/{os}"), Some(&os), crio, Some(UID)),
            (format!("/kubepods/burstable/pod{UID}/crio-{ID}"), None, crio, Some(UID)),
            (format!("/system.slice/{cm}"), Some(&cm), None, None),
            // Podman
            (format!("/machine.slice/{ls}"), Some(&ls), podman, None),
            (format!("/machine.slice/{ls}/container"), Some(&ls), podman, None),
            (format!("/machine.slice/{ls}/system.slice/nginx.service"), Some("nginx.service"), podman, None),
            (format!("{rootless}/{ls}/container"), Some(&ls), podman, None),
            (format!("/libpod_parent/libpod-{ID}"), None, podman, None),
            (
                format!("/system.slice/podman-web.service/libpod-payload-{ID}"),
                Some("podman-web.service"),
                podman,
                None,
            ),
            (format!("/machine.slice/{pm}"), Some(&pm), None, None),
            // Kubernetes, cgroupfs driver: the path does not name the runtime
            (format!("/kubepods/burstable/pod{UID}/{ID}"), None, kube, Some(UID)),
            (format!("/kubepods/pod{UID}/{ID}"), None, kube, Some(UID)),
            (format!("/kubepods/besteffort/pod{UID}"), None, Some(&only_pod), Some(UID)),
            (format!("/kubepods/burstable/pod{static_pod}/{ID}"), None, kube, Some(&static_pod)),
            // A node in a container (kind): the innermost counts
            (format!("/docker/{ID}{kind}/{cs}"), Some(&cs), containerd, Some(UID)),
            // systemd-machined, LXC
            (
                p(r"/machine.slice/machine-qemu\x2d1\x2dweb.scope".into()),
                Some(r"machine-qemu\x2d1\x2dweb.scope"),
                Some("machine:qemu-1-web"),
                None,
            ),
            (
                p("/machine.slice/systemd-nspawn@deb.service/payload".into()),
                Some("systemd-nspawn@deb.service"),
                Some("machine:deb"),
                None,
            ),
            (p("/lxc/web".into()), None, Some("lxc:web"), None),
            (
                p("/lxc.payload.web/system.slice/nginx.service".into()),
                Some("nginx.service"),
                Some("lxc:web"),
                None,
            ),
            // Things that only look like it
            (p("/podinfo/x".into()), None, None, None),
            (p("/kubepods.slice".into()), None, None, None),
            (p("/a/docker-4f2a".into()), None, None, None),
            (p("/x/.service".into()), None, None, None),
        ];
        for (path, unit, container, pod) in &paths {
            let case: Case<'_> = (path, *unit, *container, *pod);
            let got = cgroup(path.as_bytes());
            let found = got.container.as_ref();
            let pod = found.and_then(|c| c.pod.as_ref()).map(ForeignText::raw);
            let shown: Case<'_> =
                (got.path.raw(), got.unit.as_ref().map(ForeignText::raw), found.map(|c| c.name.raw()), pod);
            assert_eq!(shown, case);
        }
    }

    #[test]
    fn the_whole_id_is_kept() {
        let container = cgroup(format!("/docker/{ID}").as_bytes()).container.unwrap();
        assert_eq!((container.runtime, container.id.raw()), (Runtime::Docker, ID));
    }

    proptest! {
        #[test]
        fn any_path_is_read(path in proptest::collection::vec(any::<u8>(), 0..200)) {
            let got = cgroup(&path);
            prop_assert_eq!(got.path, ForeignText::from_bytes(&path));
        }

        #[test]
        fn any_path_of_known_parts_is_read(parts in proptest::collection::vec(prop::sample::select(vec![
            "docker", "docker-", "pod", "kubepods-pod", ".slice", ":", "cri-containerd", "\\x2", "\\x2d", ".scope", "machine-", "/", "lxc", "é",
        ]), 0..12)) {
            let _ = cgroup(parts.concat().as_bytes());
        }
    }
}
