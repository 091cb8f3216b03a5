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
started_minio=

begin_run() {
  run_folder=$(mktemp -d /tmp/cairnfs-test-run-XXXXXX)
  run_name=${run_folder##*/}
  chmod 1777 "$run_folder" # tests run programs as other users
  mkdir "$run_folder/tmp" "$run_folder/results"
  chmod 1777 "$run_folder/tmp"
  export TMPDIR=$run_folder/tmp CAIRNFS_TEST_RUN=$run_name
  trap 'end_run' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
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

end_run() {
  trap '' HUP INT TERM
  trap - EXIT
  set +e
  # Daemons get the time to unmount and to remove their sockets, while their store still answers.
  signal_run TERM
  for _ in {1..30}; do
    [[ -n $(run_pids) ]] || break
    sleep 0.1
  done
  signal_run KILL
  unmount_run
  [[ -z $started_minio ]] || scripts/minio stop
  remove_run_folder
}

# The pids of this run's processes, MinIO apart, which scripts/minio ends.
run_pids() {
  local environ pid
  for environ in /proc/[0-9]*/environ; do
    pid=${environ//[!0-9]/}
    if grep -qsxz "CAIRNFS_TEST_RUN=$run_name" "$environ" && [[ $(cat "/proc/$pid/comm" 2>/dev/null) != minio ]] &&
      grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$pid/status"; then
      printf '%s\n' "$pid"
    fi
  done
}

signal_run() {
  local pid
  for pid in $(run_pids); do kill -"$1" "$pid" 2>/dev/null; done
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
