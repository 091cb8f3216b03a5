#!/usr/bin/env node
// What mount(8) and fstab call, through the scripts that `cairnfs install-helper` puts into /sbin.
import { runMountHelper } from './cli/index.ts'

process.exit(await runMountHelper(process.argv))
