//! Low priority for the threads that may wait.

/// How far the calling thread steps back (the kernel's nice value).
const NICE: i32 = 10;

/// Lowers the calling thread's priority. A refusal changes only how fast others get their turn.
pub(crate) fn lower() {
    // On Linux a nice value belongs to a thread, and pid 0 is the calling one.
    let _ = rustix::process::setpriority_process(None, NICE);
}
