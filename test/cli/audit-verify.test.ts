// An export is verified with nothing but a file and a public key, by the command that an auditor types.

import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { canonicalJson } from '../../src/core/canonical.ts'
import { encodeVerifierKey, signCheckpoint } from '../../src/core/checkpoint.ts'
import { inclusionProof, leafHash, nodesOver, rootOf } from '../../src/core/merkle.ts'
import { rfc3339, seal } from '../../src/core/record.ts'
import { checkpointLine, exportLine, partLine, provedLine } from '../../src/core/verify-export.ts'
import { hallpass, temporaryFolder } from './launcher.ts'

const RECORDS = 1234
const NAME = 'hallpass.example.com/audit'
const folder = temporaryFolder()
let lines: string[]
let root: string

beforeAll(() => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const signedAt = Date.UTC(2026, 2, 4, 3, 40, 2)
  const sealed = Array.from({ length: RECORDS }, (_, index) =>
    seal(
      {
        v: 1,
        kind: 'session.revoked',
        at: rfc3339(signedAt + index),
        actor: { type: 'owner', id: 'sre-lead@example.com' },
        subject: { agent: 'triage-bot', session: `ses_${index}` },
        request: null,
        body: { because: 'asked' },
      },
      () => new Uint8Array(16),
    ),
  )
  const leaves = sealed.map(({ leaf }) => leaf)
  root = Buffer.from(rootOf(leaves)).toString('hex')
  lines = [
    ...sealed.map((record, index) => exportLine(index, record.bytes, record.opened)),
    checkpointLine(signCheckpoint({ origin: NAME, size: RECORDS, root: rootOf(leaves), signedAt }, NAME, privateKey)),
  ]
  writeFileSync(join(folder.path, 'hallpass.pub'), `${encodeVerifierKey(NAME, publicKey)}\n`)
})
afterAll(() => folder.remove())

const verify = (changed: readonly string[], ...more: string[]) => {
  const name = `log-${Math.random().toString(36).slice(2)}.jsonl`
  writeFileSync(join(folder.path, name), changed.map((line) => `${line}\n`).join(''))
  return hallpass(folder.path, ['audit', 'verify', name, '--key', 'hallpass.pub', ...more])
}

test('a whole log is OK, with its size, root and time (exit 0)', async () => {
  const ran = await verify(lines)
  expect(ran).toEqual({
    code: 0,
    stderr: '',
    stdout: `OK 1,234 records, no gap, root ${root.slice(0, 4)}…, signed 03:40:02Z\n`,
  })
})

test('an altered, a dropped and a cut-off record are found at their line (exit 2)', async () => {
  const altered = lines.with(6, lines[6]!.replace('asked', 'moved'))
  const [one, two, three] = await Promise.all([
    verify(altered),
    verify(lines.toSpliced(4, 1)),
    verify(lines.slice(0, -1)),
  ])
  expect(one).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/\.jsonl:\d+ /) })
  expect(two).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('.jsonl:5 ') })
  expect(three).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('checkpoint is missing') })
})

test('another key is no proof (exit 2), and no key is a local fault (exit 1)', async () => {
  const other = generateKeyPairSync('ed25519').publicKey
  writeFileSync(join(folder.path, 'other.pub'), encodeVerifierKey(NAME, other))
  writeFileSync(join(folder.path, 'log.jsonl'), `${lines.join('\n')}\n`)
  const [wrong, none] = await Promise.all([
    hallpass(folder.path, ['audit', 'verify', 'log.jsonl', '--key', 'other.pub']),
    hallpass(folder.path, ['audit', 'verify', 'log.jsonl', '--key', 'nowhere.pub']),
  ])
  expect(wrong).toMatchObject({ code: 2, stdout: '' })
  expect(none).toMatchObject({ code: 1, stdout: '' })
})

test('a part says how many of how many, and what it is that was proved (exit 0)', async () => {
  const leaves = lines.slice(0, -1).map((line) => leafHash(Buffer.from(canonicalJson(JSON.parse(line).record))))
  const nodes = nodesOver(leaves)
  const part = [7, 700, 1233].map((i) => {
    const { record, opened } = JSON.parse(lines[i]!)
    return provedLine(i, Buffer.from(canonicalJson(record)), opened, inclusionProof(nodes, i, RECORDS))
  })
  const whole = [partLine({ size: RECORDS, root: rootOf(leaves) }), ...part, lines.at(-1)!]
  expect(await verify(whole)).toEqual({
    code: 0,
    stderr: '',
    stdout: `OK 3 of 1,234 records, each proved in the log of root ${root.slice(0, 4)}…, signed 03:40:02Z\n`,
  })
  expect(await verify(whole.with(2, whole[1]!))).toMatchObject({ code: 2, stdout: '' })
})
