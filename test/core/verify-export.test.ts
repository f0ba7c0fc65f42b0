import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeVerifierKey, parseVerifierKey, signCheckpoint, type VerifierKey } from '../../src/core/checkpoint.ts'
import { inclusionProof, leafHash, nodesOver, rootOf } from '../../src/core/merkle.ts'
import { personal, rfc3339, seal } from '../../src/core/record.ts'
import {
  checkpointLine,
  exportLine,
  exportLines,
  partLine,
  provedLine,
  verifyExport,
} from '../../src/core/verify-export.ts'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const name = 'hallpass.example.com/audit'
const parsed = parseVerifierKey(encodeVerifierKey(name, publicKey))
if (!parsed.ok) throw new Error(parsed.error)
const key: VerifierKey = parsed.value
const signedAt = Date.UTC(2026, 2, 4, 3, 40, 2)

let salts = 0
const sealed = Array.from({ length: 9 }, (_, i) =>
  seal(
    {
      v: 1,
      kind: 'session.revoked',
      at: rfc3339(signedAt + i),
      actor: { type: 'owner', id: 'sre-lead@example.com' },
      subject: { agent: 'triage-bot', session: `ses_${i}` },
      request: null,
      body: { because: 'session revoked', reason: personal(`"${i}" \u2028 \uFFFD €`) },
    },
    () => Uint8Array.from({ length: 16 }, () => salts++ % 256),
  ),
)
const noteFor = (leaves: readonly Uint8Array[], more: object = {}) =>
  signCheckpoint({ origin: name, size: leaves.length, root: rootOf(leaves), signedAt, ...more }, name, privateKey)
const records = sealed.map((record, i) => exportLine(i, record.bytes, record.opened))
const last = checkpointLine(noteFor(sealed.map(({ leaf }) => leaf)))
const lines = [...records, last]
const file = Buffer.from(lines.map((line) => `${line}\n`).join(''))
const verifyFile = (bytes: Uint8Array) => verifyExport(exportLines([bytes]), key)
const fault = async (changed: readonly string[]) => {
  const result = await verifyExport(changed, key)
  return result.ok ? 'nothing' : `${result.error.line}: ${result.error.message}`
}

describe('an export that is whole', () => {
  test('verifies, and says how many records, which root, when and by whom', async () => {
    const root = Buffer.from(rootOf(sealed.map(({ leaf }) => leaf))).toString('hex')
    const value = { records: 9, root, signedAt: '2026-03-04T03:40:02.000Z', origin: name }
    expect(await verifyExport(lines, key)).toEqual({ ok: true, value })
    expect(await verifyFile(file)).toEqual({ ok: true, value })
  })

  test('verifies however its bytes are cut into chunks', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 300 }), async (size) => {
        const chunks = Array.from({ length: Math.ceil(file.length / size) }, (_, i) =>
          file.subarray(i * size, (i + 1) * size),
        )
        expect((await verifyExport(exportLines(chunks), key)).ok).toBe(true)
      }),
      { numRuns: 20 },
    )
  })

  test('verifies without the newline at its very end, the one byte that says nothing', async () => {
    expect((await verifyFile(file.subarray(0, -1))).ok).toBe(true)
  })

  test('verifies when personal texts were erased, and when there is no record yet', async () => {
    const erased = sealed.map((record, i) => exportLine(i, record.bytes, {}))
    expect((await verifyExport([...erased, last], key)).ok).toBe(true)
    expect(await verifyExport([checkpointLine(noteFor([]))], key)).toMatchObject({ ok: true, value: { records: 0 } })
  })
})

describe('an export that is not', () => {
  test('any byte changed, dropped or added is found', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(file.length - 1), fc.nat(255), async (at, byte) => {
        fc.pre(file[at] !== byte)
        const altered = Buffer.from(file)
        altered[at] = byte
        expect((await verifyFile(altered)).ok).toBe(false)
        const added = Buffer.concat([file.subarray(0, at), Buffer.of(byte), file.subarray(at)])
        expect((await verifyFile(added)).ok).toBe(false)
        if (at < file.length - 1) {
          const dropped = Buffer.concat([file.subarray(0, at), file.subarray(at + 1)])
          expect((await verifyFile(dropped)).ok).toBe(false)
          expect((await verifyFile(file.subarray(0, at))).ok).toBe(false)
        }
      }),
      { numRuns: 400 },
    )
  })

  test('any record altered, dropped, doubled or moved is found, even when the indexes are mended', async () => {
    type Edit = (leaves: typeof sealed, i: number, j: number) => typeof sealed
    const edits: Edit[] = [
      (all, i) => all.toSpliced(i, 1),
      (all, i) => all.toSpliced(i, 0, all[i]!),
      (all, i, j) => all.with(i, all[j]!).with(j, all[i]!),
      (all, i, j) => all.with(i, all[j]!),
      (all, i) => all.slice(0, i),
      (all, i) =>
        all.with(i, {
          ...all[i]!,
          bytes: Buffer.from(Buffer.from(all[i]!.bytes).toString().replace('triage', 'hostile')),
        }),
    ]
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...edits), fc.nat(8), fc.nat(8), async (edit, i, j) => {
        fc.pre(i !== j)
        const mended = edit(sealed, i, j).map((record, at) => exportLine(at, record.bytes, record.opened))
        expect((await verifyExport([...mended, last], key)).ok).toBe(false)
      }),
    )
  })

  test('the line and what is wrong with it are told', async () => {
    expect(await fault(lines.toSpliced(3, 1))).toBe('4: index 3 is expected here: a record was dropped, added or moved')
    expect(await fault(lines.with(2, lines[2]!.replace('triage-bot', 'hostile-bot')))).toMatch(
      /^10: the root is not the signed one/,
    )
    expect(await fault(records)).toBe('10: the signed checkpoint is missing: it was cut short')
    expect(await fault([])).toMatch(/^1: the signed checkpoint is missing/)
    expect(await fault([...records.slice(0, 4), last])).toBe('5: the checkpoint signs 9 records, here are 4')
    expect(await fault([...lines, ''])).toBe('11: something follows the signed checkpoint')
    expect(await fault([...lines, last])).toMatch(/^11: something follows/)
    expect(await fault(['', ...lines])).toBe('1: the line is not JSON in UTF-8')
    expect(await fault(['7'])).toBe('1: the line is neither a record nor a checkpoint')
    expect(await fault(['x'.repeat(5_000_000)])).toMatch(/^1: the line is longer than/)
  })

  const first = records[0]!
  const spellings: [string, string][] = [
    ['a doubled key', first.replace('"index":0,', '"index":0,"index":0,')],
    ['a doubled key within the record', first.replace('"v":1}', '"v":1,"v":1}')],
    ['a member too many', first.replace('"index":0,', '"index":0,"note":"trust me",')],
    ['a blank', first.replace('{"index"', '{ "index"')],
    ['a carriage return', `${first}\r`],
    ['another spelling of a number', first.replace('"v":1', '"v":1.0')],
    ['another spelling of a string', first.replace('triage', '\\u0074riage')],
    ['another order of keys', first.replace('{"index":0,', '{').replace(/}$/, ',"index":0}')],
    ['a byte order mark', `\ufeff${first}`],
    ['a lone surrogate', first.replace('triage', '\\ud800')],
    ['bottomless nesting', first.replace('"v":1', `"v":${'['.repeat(9000)}${']'.repeat(9000)}`)],
    ['no record', '{"index":0,"opened":{}}'],
    ['no texts', first.replace(/,"opened".*/, '}')],
    ['a record that is a list', '{"index":0,"record":[],"opened":{}}'],
  ]
  test.each(spellings)('%s is refused', async (_, line) => {
    expect(await fault([line, ...lines.slice(1)])).toMatch(/^1: /)
    expect((await verifyFile(Buffer.from([line, ...lines.slice(1)].join('\n')))).ok).toBe(false)
  })

  test('a text put beside a record that the log holds no hash of, or another hash, is refused', async () => {
    const [hash, opening] = Object.entries(sealed[0]!.opened)[0]!
    const foreign = sealed[1]!.opened
    for (const opened of [
      foreign,
      { [hash]: { ...opening, text: 'another' } },
      { [hash]: { ...opening, salt: opening.salt.replace(/^./, 'z') } },
      { [hash]: { ...opening, salt: `${opening.salt}=` } },
      { [hash]: { ...opening, more: 'x' } },
    ]) {
      expect(await fault([exportLine(0, sealed[0]!.bytes, opened), ...lines.slice(1)])).toMatch(/^1: a personal text/)
    }
  })

  test('a checkpoint of another key, of another tree, or without a time is refused', async () => {
    const other = generateKeyPairSync('ed25519').privateKey
    const leaves = sealed.map(({ leaf }) => leaf)
    const foreign = signCheckpoint({ origin: name, size: 9, root: rootOf(leaves), signedAt }, name, other)
    expect(await fault([...records, checkpointLine(foreign)])).toMatch(/^10: the checkpoint is not signed by/)
    const rewritten = noteFor(leaves.with(4, leafHash(Buffer.from('x'))))
    expect(await fault([...records, checkpointLine(rewritten)])).toMatch(/^10: the root is not/)
    expect(await fault([...records, checkpointLine(noteFor(leaves, { signedAt: null }))])).toMatch(/does not say when/)
    expect(await fault([...records, last.replace('"checkpoint"', '"checkpoint" ')])).toMatch(
      /^10: the checkpoint is not written/,
    )
    expect(await fault([...records, last.replace('{', '{"index":9,')])).toMatch(/^10: the checkpoint is not written/)
  })

  test('a file without a newline in it is read no further than one line may be long', async () => {
    let served = 0
    function* endless() {
      for (;;) {
        served += 1
        yield Buffer.alloc(1024 * 1024, 'x')
      }
    }
    const result = await verifyExport(exportLines(endless()), key)
    expect(result).toMatchObject({ ok: false, error: { line: 1 } })
    expect(served).toBeLessThan(8)
  })
})

describe('a part of the log', () => {
  const leaves = sealed.map(({ leaf }) => leaf)
  const root = rootOf(leaves)
  const first = partLine({ size: 9, root })
  const proved = (i: number, at = i) =>
    provedLine(at, sealed[i]!.bytes, sealed[i]!.opened, inclusionProof(nodesOver(leaves), i, 9))
  const chosen = [1, 4, 5, 8]
  const part = [first, ...chosen.map((i) => proved(i)), last]
  const partFile = Buffer.from(part.map((line) => `${line}\n`).join(''))

  test('verifies, and says how many of how many', async () => {
    const hex = Buffer.from(root).toString('hex')
    const value = { records: 4, of: 9, root: hex, signedAt: '2026-03-04T03:40:02.000Z', origin: name }
    expect(await verifyExport(part, key)).toEqual({ ok: true, value })
    expect(await verifyFile(partFile)).toEqual({ ok: true, value })
    expect(await verifyExport([first, last], key)).toMatchObject({ ok: true, value: { records: 0, of: 9 } })
    const whole = [first, ...sealed.map((_, i) => proved(i)), last]
    expect(await verifyExport(whole, key)).toMatchObject({ ok: true, value: { records: 9, of: 9 } })
    const erased = provedLine(4, sealed[4]!.bytes, {}, inclusionProof(nodesOver(leaves), 4, 9))
    expect((await verifyExport([first, erased, last], key)).ok).toBe(true)
  })

  test('any byte changed, dropped or added is found', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(partFile.length - 2), fc.nat(255), async (at, byte) => {
        fc.pre(partFile[at] !== byte)
        const altered = Buffer.from(partFile)
        altered[at] = byte
        expect((await verifyFile(altered)).ok).toBe(false)
        expect(
          (await verifyFile(Buffer.concat([partFile.subarray(0, at), Buffer.of(byte), partFile.subarray(at)]))).ok,
        ).toBe(false)
        expect((await verifyFile(Buffer.concat([partFile.subarray(0, at), partFile.subarray(at + 1)]))).ok).toBe(false)
        expect((await verifyFile(partFile.subarray(0, at))).ok).toBe(false)
      }),
      { numRuns: 400 },
    )
  })

  test('a record doubled, moved, under another index, with the proof of another or of no record is found', async () => {
    const edits = fc.constantFrom<(lines: string[], i: number, j: number) => string[]>(
      (lines, i) => lines.toSpliced(i, 0, lines[i]!),
      (lines, i, j) => lines.with(i, lines[j]!).with(j, lines[i]!),
      (lines, i, j) => lines.with(i, proved(chosen[i - 1]!, chosen[j - 1]!)),
      (lines, i, j) => lines.with(i, lines[i]!.replace(/"proof".*/, /"proof".*/.exec(lines[j]!)![0])),
      (lines, i) => lines.with(i, lines[i]!.replace(/,"proof".*/, '}')),
      (lines, i) => lines.with(i, lines[i]!.replace(/"proof".*/, '"proof":[]}')),
      (lines, i) => lines.with(i, lines[i]!.replace('triage-bot', 'hostile-bot')),
      (lines, i) => lines.with(i, records[chosen[i - 1]!]!),
      (lines, i) => lines.slice(0, i),
      (lines) => lines.slice(1),
    )
    const at = fc.integer({ min: 1, max: 4 })
    await fc.assert(
      fc.asyncProperty(edits, at, at, async (edit, i, j) => {
        fc.pre(i !== j)
        expect((await verifyExport(edit([...part], i, j), key)).ok).toBe(false)
      }),
      { numRuns: 200 },
    )
  })

  test('a record of another log is refused under its own proof: the tree is the one that the checkpoint signs', async () => {
    const other = sealed.map(({ leaf }, i) => (i === 4 ? leafHash(Buffer.from('x')) : leaf))
    const foreign = [
      partLine({ size: 9, root: rootOf(other) }),
      provedLine(1, sealed[1]!.bytes, sealed[1]!.opened, inclusionProof(nodesOver(other), 1, 9)),
      last,
    ]
    expect(await fault(foreign)).toMatch(/^3: the root is not the signed one/)
    expect(await fault([partLine({ size: 8, root: rootOf(leaves.slice(0, 8)) }), last])).toMatch(
      /^2: the checkpoint signs 9/,
    )
  })

  test.each([
    ['a whole log after the line that names the tree', [first, ...records, last]],
    ['the line that names the tree, twice', [first, first, last]],
    ['it in the middle', [...records.slice(0, 3), first, last]],
    ['a member too many', [first.replace('"size"', '"more":1,"size"'), last]],
    ['another spelling of the root', [first.replace('="}}', '"}}'), last]],
    ['a size that is no number', [first.replace('9', '"9"'), last]],
    ['no tree', ['{"part":null}', last]],
    ['proofs without end', [first, `${records[1]!.slice(0, -1)},"proof":[${Array(100).fill('""').join()}]}`, last]],
    ['a proof that is no list', [first, `${records[1]!.slice(0, -1)},"proof":7}`, last]],
  ])('%s is refused', async (_, changed) => {
    expect(await fault(changed)).not.toBe('nothing')
  })
})
