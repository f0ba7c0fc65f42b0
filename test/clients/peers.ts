// The programs of others that the suite runs. It finds them and never installs them.

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const at = (path: string) => fileURLToPath(new URL(`../peers/node_modules/${path}`, import.meta.url))

export const INSPECTOR = at('.bin/mcp-inspector')
/** The client half of the tasks extension. */
export const TASK_CLIENT = at('@modelcontextprotocol/ext-tasks/dist/client/index.js')

/** @throws where something is missing, with what to do. */
export function findPeers(): void {
  const missing = [INSPECTOR, TASK_CLIENT].filter((path) => !existsSync(path))
  if (missing.length > 0)
    throw new Error(
      `Not installed: ${missing.join(', ')}. This suite runs real clients and installs nothing: npm ci --prefix test/peers`,
    )
}
