#!/usr/bin/env node
// The `cairnfs` command; cli/ has one file per subcommand.
import { runCairnfs } from './cli/index.ts'

process.exit(await runCairnfs(process.argv))
