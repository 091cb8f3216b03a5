// cli/: the commands, the daemon behind a mount, and what mount(8) runs. The only layer, besides platform/, that touches
// ambient state: arguments, environment, signals, terminals, runtime files. Promises: one line for every error, exit
// statuses as documented, nothing left of what failed. Asks downward: volume/, fuse/, store/, observe/.
export { runMountHelper } from './mount-helper.ts'
export { runCairnfs } from './program.ts'
