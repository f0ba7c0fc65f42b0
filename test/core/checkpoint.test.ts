import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  encodeVerifierKey,
  openNote,
  parseCheckpoint,
  parseVerifierKey,
  signCheckpoint,
  signNote,
  type VerifierKey,
  verifyCheckpoint,
} from '../../src/core/checkpoint.ts'

type Vectors = {
  verifierKey: string
  signerKey: string
  text: string
  signature: string
  otherVerifierKey: string
  otherSignature: string
  refusedKeys: string[]
  checkpoint: string
}
const vectors: Vectors = JSON.parse(readFileSync(new URL('../vectors/signed-note.json', import.meta.url), 'utf8'))

function keyOf(text: string): VerifierKey {
  const key = parseVerifierKey(text)
  if (!key.ok) throw new Error(key.error)
  return key.value
}
const peter = keyOf(vectors.verifierKey)
const petersPrivateKey = () => {
  const seed = Buffer.from(vectors.signerKey.split('+').slice(4).join('+'), 'base64').subarray(1)
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  return createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
}
const note = `${vectors.text}\n${vectors.signature}`

describe('verifier keys', () => {
  test('the published key reads, and is written as it was published', () => {
    expect(peter).toMatchObject({ name: 'PeterNeumann', id: 'c74f20a3' })
    expect(encodeVerifierKey('PeterNeumann', createPublicKey(petersPrivateKey()))).toBe(vectors.verifierKey)
  })

  test('a newline at the end, as a file has it, is allowed; any other blank is not', () => {
    for (const end of ['\n', '\r\n']) expect(keyOf(vectors.verifierKey + end).id).toBe('c74f20a3')
    for (const bad of [` ${vectors.verifierKey}`, `${vectors.verifierKey} `, `${vectors.verifierKey}\n\n`]) {
      expect(parseVerifierKey(bad).ok).toBe(false)
    }
  })

  test('no part of the published key and no key with one character changed is accepted', () => {
    const text = vectors.verifierKey
    for (let from = 0; from <= text.length; from++) {
      for (let to = from + 1; to <= text.length; to++) {
        if (from !== 0 || to !== text.length) expect(parseVerifierKey(text.slice(from, to)).ok).toBe(false)
      }
    }
    for (let i = 0; i < text.length; i++) {
      const mangled = text.slice(0, i) + String.fromCharCode(text.charCodeAt(i) + 1) + text.slice(i + 1)
      expect(parseVerifierKey(mangled).ok).toBe(false)
    }
    for (const refused of vectors.refusedKeys) expect(parseVerifierKey(refused).ok).toBe(false)
  })

  test('a key that is not Ed25519, and a name that cannot be one, throw', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    expect(() => encodeVerifierKey('log', publicKey)).toThrow(/Ed25519/)
    for (const name of ['', 'a b', 'a+b', 'a\u00a0b', 'a\nb', '\ud800']) {
      expect(() => encodeVerifierKey(name, peter.publicKey)).toThrow(TypeError)
    }
  })
})

describe('signed notes', () => {
  test('the published text and key make the published note, byte for byte', () => {
    expect(signNote(vectors.text, 'PeterNeumann', petersPrivateKey())).toBe(note)
  })

  test('the published note opens, with signatures of others before or after it', () => {
    for (const more of [
      note,
      note + vectors.otherSignature,
      `${vectors.text}\n${vectors.otherSignature}${vectors.signature}`,
    ]) {
      expect(openNote(more, peter)).toEqual({ ok: true, value: vectors.text })
    }
    expect(openNote(note + vectors.otherSignature, keyOf(vectors.otherVerifierKey)).ok).toBe(true)
  })

  test('a note that this key did not sign does not open', () => {
    expect(openNote(`${vectors.text}\n${vectors.otherSignature}`, peter)).toMatchObject({ ok: false })
    const renamed = { ...keyOf(vectors.otherVerifierKey), name: 'PeterNeumann' }
    expect(openNote(note, renamed)).toMatchObject({ ok: false })
  })

  test('one wrong signature of this key spoils the note, whatever else is signed right', () => {
    const wrong = vectors.signature.replace('x08go/ZJ', 'x08go/ZK')
    expect(openNote(note + wrong, peter)).toMatchObject({ ok: false, error: expect.stringContaining('wrong') })
  })

  test('a lone surrogate does not pass for the replacement character that was signed', () => {
    const signed = signNote('a \uFFFD\n', 'PeterNeumann', petersPrivateKey())
    expect(openNote(signed, peter).ok).toBe(true)
    expect(openNote(signed.replace('\uFFFD', '\ud800'), peter).ok).toBe(false)
  })

  test('a note beyond 128 KiB is refused, however well signed', () => {
    expect(openNote(signNote(`${'a'.repeat(132_000)}\n`, 'PeterNeumann', petersPrivateKey()), peter).ok).toBe(false)
  })

  const malformed: [string, string][] = [
    ['no signatures', vectors.text],
    ['an empty signature part', `${vectors.text}\n`],
    ['no last newline', note.slice(0, -1)],
    ['a control character', `\x01${note}`],
    ['a carriage return', note.replaceAll('\n', '\r\n')],
    ['a lone surrogate', `\ud800${note}`],
    ['a name with a blank', `${vectors.text}\n${vectors.signature.replace('PeterNeumann', 'Bad Name')}`],
    ['a name with a no-break space', `${vectors.text}\n${vectors.signature.replace('PeterNeumann', 'Bad\u00a0Name')}`],
    ['a line after the signatures', `${note}Unexpected line.\n`],
    ['a hyphen for the dash', note.replace('\u2014', '-')],
    ['base64 without padding', note.replace('AM=\n', 'AM\n')],
    ['base64 in a second spelling', note.replace('nAM=\n', 'nAN=\n')],
    ['more than 100 signatures', note + vectors.otherSignature.repeat(100)],
  ]
  test.each(malformed)('%s is refused', (_, bad) => {
    expect(openNote(bad, peter).ok).toBe(false)
  })

  test('what a note cannot carry is not signed', () => {
    for (const text of ['', '\n', 'no newline', 'tab\t\n']) {
      expect(() => signNote(text, 'log', petersPrivateKey())).toThrow(TypeError)
    }
  })
})

describe('checkpoints', () => {
  const root = Buffer.alloc(32, 7)
  const signedAt = Date.UTC(2026, 2, 4, 3, 40, 2, 5)
  const head = { origin: 'hallpass.example.com/audit', size: 4812, root, signedAt }
  const signed = signCheckpoint(head, 'PeterNeumann', petersPrivateKey())
  const forge = (body: string) => verifyCheckpoint(signNote(body, 'PeterNeumann', petersPrivateKey()), peter)

  test('the published checkpoint reads', () => {
    expect(parseCheckpoint(vectors.checkpoint)).toEqual({
      ok: true,
      value: {
        origin: 'example.com/behind-the-sofa',
        size: 20852163,
        root: Buffer.from('CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=', 'base64'),
        signedAt: null,
        extensions: [],
      },
    })
    expect(verifyCheckpoint(vectors.checkpoint, peter).ok).toBe(false)
  })

  test('what was signed comes back, the signing time among it', () => {
    expect(signed.split('\n').slice(0, 5)).toEqual([
      'hallpass.example.com/audit',
      '4812',
      root.toString('base64'),
      'time 2026-03-04T03:40:02.005Z',
      '',
    ])
    expect(verifyCheckpoint(signed, peter)).toEqual({ ok: true, value: { ...head, extensions: [] } })
    const more = signCheckpoint(
      { ...head, signedAt: null, extensions: ['a b', 'c'] },
      'PeterNeumann',
      petersPrivateKey(),
    )
    expect(verifyCheckpoint(more, peter)).toMatchObject({
      ok: true,
      value: { signedAt: null, extensions: ['a b', 'c'] },
    })
  })

  test('a checkpoint with any one character changed is refused', () => {
    fc.assert(
      fc.property(fc.nat(signed.length - 1), fc.integer({ min: 0, max: 0x2100 }), (at, code) => {
        fc.pre(signed.charCodeAt(at) !== code)
        const altered = signed.slice(0, at) + String.fromCharCode(code) + signed.slice(at + 1)
        expect(verifyCheckpoint(altered, peter).ok).toBe(false)
      }),
      { numRuns: 500 },
    )
  })

  const b64 = root.toString('base64')
  const wellSigned: [string, string][] = [
    ['two lines', 'log\n1\n'],
    ['no origin', `\n1\n${b64}\n`],
    ['a leading zero', `log\n01\n${b64}\n`],
    ['a sign', `log\n+1\n${b64}\n`],
    ['a hexadecimal size', `log\n0x1\n${b64}\n`],
    ['a size beyond 2^53', `log\n9007199254740993\n${b64}\n`],
    ['a blank after the size', `log\n1 \n${b64}\n`],
    ['a short root', `log\n1\n${Buffer.alloc(31).toString('base64')}\n`],
    ['a root without padding', `log\n1\n${b64.slice(0, -1)}\n`],
    ['an empty extension line', `log\n1\n${b64}\n\nmore\n`],
    ['a malformed time', `log\n1\n${b64}\ntime 2026-03-04\n`],
    ['a time that is none', `log\n1\n${b64}\ntime 2026-13-40T00:00:00.000Z\n`],
    ['two times', `log\n1\n${b64}\ntime 2026-03-04T03:40:02.005Z\ntime 2026-03-04T03:40:02.006Z\n`],
    ['too many extension lines', `log\n1\n${b64}\n${'x\n'.repeat(17)}`],
    ['an overlong line', `log\n1\n${b64}\n${'x'.repeat(1025)}\n`],
  ]
  test.each(wellSigned)('%s is refused, however well signed', (_, body) => {
    expect(forge(body).ok).toBe(false)
  })

  test('what a checkpoint cannot carry is not signed', () => {
    const key = petersPrivateKey()
    for (const bad of [
      { size: -1 },
      { size: 0.5 },
      { origin: '' },
      { origin: 'a\nb' },
      { root: Buffer.alloc(5) },
      { extensions: [''] },
    ]) {
      expect(() => signCheckpoint({ ...head, ...bad }, 'PeterNeumann', key)).toThrow(TypeError)
    }
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    expect(() => signCheckpoint(head, 'log', privateKey)).toThrow(/Ed25519/)
  })
})
