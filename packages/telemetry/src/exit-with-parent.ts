// Life of a supervised process: it ends when the pipe from its supervisor closes, so that no orphan stays behind.

/** Calls `stop` once when standard input ends or fails. For processes started with `--exit-with-parent`. */
export function onParentGone(stop: () => void): void {
  let stopped = false;
  const once = () => {
    if (stopped) return;
    stopped = true;
    stop();
  };
  process.stdin.on('end', once);
  process.stdin.on('close', once);
  process.stdin.on('error', once);
  process.stdin.resume();
}
