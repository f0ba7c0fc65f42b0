// A child process: `hallpass audit verify`'s own function over a log of COUNT records on disk. It prints one line of JSON.

import { generateKeyPairSync } from 'node:crypto'
import { createReadStream, createWriteStream, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { encodeVerifierKey, parseVerifierKey, signCheckpoint } from '../../../src/core/checkpoint.ts'
import { append, emptyFrontier, frontierRoot } from '../../../src/core/merkle.ts'
import { rfc3339, seal } from '../../../src/core/record.ts'
import { checkpointLine, exportLine, exportLines, verifyExport } from '../../../src/core/verify-export.ts'

const count = Number(process.argv[2])
const folder = mkdtempSync(join(tmpdir(), 'hallpass-bench-'))
const file = join(folder, 'log.jsonl')
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const origin = 'hallpass/audit/bench'

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
        subject: { agent: 'triage-bot', tool: 'metrics', session: 'ses_1', grant: 'grt_1', credential: `crd_${hash}` },
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

try {
  await pipeline(Readable.from(lines()), createWriteStream(file))
  const key = parseVerifierKey(encodeVerifierKey(origin, publicKey))
  if (!key.ok) throw new Error(key.error)
  let most = 0
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss)
  }, 50)
  const began = performance.now()
  const verified = await verifyExport(exportLines(createReadStream(file)), key.value)
  const seconds = (performance.now() - began) / 1000
  clearInterval(watch)
  if (!verified.ok) throw new Error(verified.error.message)
  const perSecond = verified.value.records / seconds
  process.stdout.write(`${JSON.stringify({ records: verified.value.records, perSecond, memoryMib: most / 2 ** 20 })}\n`)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
