// A first manifests folder for whoever has none: one tool, one team, and schemas for the editor. It overwrites nothing.

import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isManifestFile } from '../core/file-beside.ts'
import { jsonSchemas } from '../core/manifest-parse.ts'

/** Whether there is anything that would be read as a manifest. */
export function hasManifests(path: string): boolean {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return false
  return readdirSync(path, { recursive: true, encoding: 'utf8' }).some(
    (name) => isManifestFile(name) && !/(^|[\\/])\./.test(name),
  )
}

/** Writes the sample, and answers what it wrote. `email` must be an address without quotes. */
export function writeSample(path: string, email: string): string[] {
  const files = {
    'teams/support.yaml': TEAM(email),
    'tools/tickets.yaml': TOOL(email),
    ...Object.fromEntries(
      Object.entries(jsonSchemas()).map(([kind, schema]) => [
        `.schema/${kind.toLowerCase()}.json`,
        `${JSON.stringify(schema, null, 2)}\n`,
      ]),
    ),
  }
  return Object.entries(files).map(([name, content]) => {
    const file = join(path, name)
    mkdirSync(dirname(file), { recursive: true })
    if (statSync(file, { throwIfNoEntry: false }) === undefined) writeFileSync(file, content, { flag: 'wx' })
    return file
  })
}

const TEAM = (email: string) => `# yaml-language-server: $schema=../.schema/team.json
#
# A team is people who own together: any one of them may act. Adding a member waits for one who is there already.
apiVersion: hallpass/v1
kind: Team
metadata:
  name: support
spec:
  members:
    - "${email}"
`

const TOOL = (email: string) => `# yaml-language-server: $schema=../.schema/tool.json
#
# One tool: where it is, what can be done with it, and how it checks our tokens. Make it yours, or delete it and write
# your own. An agent is added with: hallpass agent new NAME --owner EMAIL --access tickets=ticket:read
apiVersion: hallpass/v1
kind: Tool
metadata:
  name: tickets                       # its name for ever
spec:
  owners:                             # they accept an agent's first access, and every scope of high risk
    - "${email}"
    - team/support
  category: ticketing                 # or observability
  resource: http://127.0.0.1:8430     # the audience of its tokens; https off this machine
  scopes:
    ticket:read:    { description: Read tickets, risk: low }
    ticket:comment: { description: Comment on a ticket, risk: medium }
    ticket:close:   { description: Close a ticket, risk: high }
  details:                            # what an access entry can narrow these scopes by, and who holds an agent to it
    queue: { description: Queue that the ticket is in, enforcedBy: tool }
  token:
    maxTtl: 10m                       # no token lives longer, whatever an access entry says
    verifiedBy: guard                 # hallpass/guard inside the tool: a revoked token is dead within seconds
`
