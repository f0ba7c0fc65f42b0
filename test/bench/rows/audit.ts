// A child process: `hallpass audit verify`'s own function over a log of COUNT records on disk, in a process that has done
// nothing else, so that what making the log left in memory is not counted. It prints one line of JSON.

import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { createReadStream, createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { encodeVerifierKey, parseVerifierKey, signCheckpoint } from '../../../src/core/checkpoint.ts'
import { append, emptyFrontier, frontierRoot } from '../../../src/core/merkle.ts'
import { rfc3339, seal } from '../../../src/core/record.ts'
import { checkpointLine, exportLine, exportLines, verifyExport } from '../../../src/core/verify-export.ts'

const origin = 'hallpass/audit/bench'
const LOG = 'log.jsonl'
const KEY = 'hallpass.pub'

async function write(folder: string, count: number): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  function* lines() {
    let frontier = emptyFrontier
    for (let index = 0; index < count; index++) {
      const hash = index.toString(16).padStart(64, '0')
      const { bytes, leaf, opened } = seal(
        {
          v: 1,
          kind: 'credential.issued',
          at: rfc3339(1_700_000_000_000 + index),
          actor: { type: 'agent', id: 'triage-bot' },
          subject: {
            agent: 'triage-bot',
            tool: 'metrics',
            session: 'ses_1',
            grant: 'grt_1',
            credential: `crd_${hash}`,
          },
          request: `rid_${index}`,
          body: {
            claimsHash: hash,
            resource: 'https://metrics.example.com',
            scopes: ['metrics:read'],
            details: {},
            expiresAt: rfc3339(1_700_000_300_000 + index),
            delivery: 'exchange',
            approvalId: null,
            manifest: hash,
          },
        },
        () => new Uint8Array(16),
      )
      frontier = append(frontier, leaf)
      yield `${exportLine(index, bytes, opened)}\n`
    }
    const head = { origin, size: count, root: frontierRoot(frontier), signedAt: 1_700_000_000_000 }
    yield `${checkpointLine(signCheckpoint(head, origin, privateKey))}\n`
  }
  await pipeline(Readable.from(lines()), createWriteStream(join(folder, LOG)))
  writeFileSync(join(folder, KEY), encodeVerifierKey(origin, publicKey))
}

async function verify(folder: string): Promise<string> {
  const key = parseVerifierKey(readFileSync(join(folder, KEY), 'utf8'))
  if (!key.ok) throw new Error(key.error)
  const began = performance.now()
  const verified = await verifyExport(exportLines(createReadStream(join(folder, LOG))), key.value)
  const seconds = (performance.now() - began) / 1000
  if (!verified.ok) throw new Error(verified.error.message)
  const { records } = verified.value
  const memoryMib = process.resourceUsage().maxRSS / 1024
  return JSON.stringify({ records, perSecond: records / seconds, memoryMib })
}

const [, self = '', what, of = ''] = process.argv
if (what === 'verify') process.stdout.write(`${await verify(of)}\n`)
else {
  const folder = mkdtempSync(join(tmpdir(), 'hallpass-bench-'))
  try {
    await write(folder, Number(what))
    process.stdout.write(execFileSync(process.execPath, [self, 'verify', folder]))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
