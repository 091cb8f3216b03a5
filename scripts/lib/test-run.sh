# shellcheck shell=bash
# One run of tests: what it starts, and taking all of it away again, however the run ends. To be sourced after common.sh.
#
# Must stay true:
# - Everything a run makes lies below $TMPDIR, which is the run's own folder; every process it starts has
#   CAIRNFS_TEST_RUN=<the run's name> in its environment. By these two, and by nothing else, they are found at the end:
#   no other process, mount or folder is touched.
# - Commands run in the background with `wait`, or bash would look at a signal only when they have ended.

run_name=
run_folder=
run_child=
run_beside=
compiled_before=

begin_run() {
  compiled_before=$(compiled_tests)
  run_folder=$(mktemp -d /tmp/cairnfs-test-run-XXXXXX)
  run_name=${run_folder##*/}
  trap 'end_run' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  chmod 1777 "$run_folder" # tests run programs as other users
  mkdir "$run_folder/tmp" "$run_folder/results"
  chmod 1777 "$run_folder/tmp"
  # A MinIO of its own: tests compare its counts of requests with ours.
  export TMPDIR=$run_folder/tmp CAIRNFS_TEST_RUN=$run_name CAIRNFS_MINIO_STATE=$run_folder/minio
}

# Runs a command so that signals are seen at once. Its status is the command's.
run() {
  local status=0
  "$@" </dev/null &
  run_child=$!
  wait "$run_child" || status=$?
  run_child=
  return "$status"
}

# Runs a function beside what follows, up to `join_beside`. What it prints comes then, in one piece, and so does what it adds to
# failed_steps and skipped_parts.
begin_beside() {
  (
    failed_steps=() skipped_parts=()
    "$@" || failed_steps+=("$1: ended with $?")
    printf 'failed_steps+=(%s)\nskipped_parts+=(%s)\n' "${failed_steps[*]@Q}" "${skipped_parts[*]@Q}" >"$run_folder/beside.sh"
  ) >"$run_folder/beside.log" 2>&1 &
  run_beside=$!
}

join_beside() {
  wait "$run_beside" || true
  run_beside=
  cat "$run_folder/beside.log" >&2
  if [[ -e $run_folder/beside.sh ]]; then
    . "$run_folder/beside.sh"
  else
    failed_steps+=('what ran beside the others: it did not come to its end')
  fi
}

end_run() {
  trap '' HUP INT TERM
  trap - EXIT
  set +e
  # Or it would begin its next part.
  [[ -z $run_beside ]] || kill -KILL "$run_beside" 2>/dev/null
  # Daemons get the time to unmount and to remove their sockets, while their store still answers.
  signal_run TERM
  local deadline=$((SECONDS + 4))
  while ((SECONDS < deadline)) && [[ -n $(run_pids) ]]; do sleep 0.1; done
  signal_run KILL
  unmount_run
  [[ ! -e $CAIRNFS_MINIO_STATE/running ]] || scripts/minio stop
  signal_run KILL minio
  remove_run_folder
  remove_compiled_tests
}

# What test/mount/harness.ts compiles must lie where node_modules is found.
compiled_tests() { find node_modules/.cache -maxdepth 1 -name 'cairnfs-test-??????' 2>/dev/null || true; }

# Those that came during the run and that its tests, interrupted, did not remove. One that a process is using belongs to
# another run.
remove_compiled_tests() {
  local folder in_use
  in_use=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ')
  for folder in $(compiled_tests); do
    [[ $compiled_before == *"$folder"* || $in_use == *"$folder"* ]] || rm -rf -- "$folder"
  done
}

# The pids of this run's processes; without an argument MinIO's apart, which scripts/minio ends.
run_pids() {
  local environ pid
  for environ in /proc/[0-9]*/environ; do
    pid=${environ//[!0-9]/}
    if grep -qsxz "CAIRNFS_TEST_RUN=$run_name" "$environ" &&
      [[ $(cat "/proc/$pid/comm" 2>/dev/null) != minio || -n ${1:-} ]] &&
      grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$pid/status"; then
      printf '%s\n' "$pid"
    fi
  done
}

signal_run() {
  local pid
  for pid in $(run_pids "${2:-}"); do kill -"$1" "$pid" 2>/dev/null; done
}

# What is mounted below the run's folder; the last mounted first. Their servers are dead: nothing here waits for one.
run_mounts() {
  awk -v below="$run_folder/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | tac
}

unmount_run() {
  local mountpoint
  while read -r mountpoint; do
    mountpoint=$(printf '%b' "${mountpoint//\\/\\0}") # \040 for a space
    if ((EUID == 0)); then umount -l -- "$mountpoint"; else fusermount3 -uz -- "$mountpoint"; fi
  done < <(run_mounts)
}

remove_run_folder() {
  if [[ -n $(run_mounts) ]]; then
    say "something is still mounted below $run_folder: it stays"
  elif [[ $run_folder == /tmp/cairnfs-test-run-?????? ]]; then
    rm -rf --one-file-system -- "$run_folder"
  fi
}
