// From a node to the place that is remembered of it.
import { IN_ORPHANS, IN_SHARED, type Node, REMOVED } from '../meta/index.ts'

export function placeOf(node: Node): { directory: number; key: number } {
  switch (node.home) {
    case 'dentry':
    case 'directory':
      return { directory: node.directory, key: node.key }
    case 'shared':
      return { directory: IN_SHARED, key: 0 }
    case 'orphan':
      return { directory: IN_ORPHANS, key: 0 }
    case 'removed':
      return { directory: REMOVED, key: 0 }
    default: {
      const never: never = node.home
      throw new Error(`unknown home ${never}`)
    }
  }
}
