// From DER to JOSE: what Node signs must verify as what JOSE expects, whatever the coordinates' lengths.

import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { joseSignature } from '../../../src/adapters/keys/jose-signature.ts'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

describe('a signature of P-256', () => {
  it('verifies as R and S side by side, short coordinates too (RFC 7518 section 3.4)', () => {
    const lengths = new Set<number>()
    for (let i = 0; i < 2_000; i++) {
      const data = Buffer.from(`message ${i}`)
      const der = sign('sha256', data, privateKey)
      lengths.add(der.length)
      const jose = joseSignature(der)
      expect(jose.length).toBe(64)
      expect(verify('sha256', data, { key: publicKey, dsaEncoding: 'ieee-p1363' }, jose)).toBe(true)
    }
    // 70 to 72 are the rule; shorter ones, with a coordinate that begins with zeros, come up in two thousand.
    expect(Math.min(...lengths)).toBeLessThan(70)
  })

  it('is refused where it is not DER, cut short, or of a longer curve', () => {
    const der = sign('sha256', Buffer.from('x'), privateKey)
    const longer = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey
    for (const broken of [
      Buffer.alloc(0),
      der.subarray(1),
      der.subarray(0, der.length - 1),
      Buffer.concat([der, Buffer.from([0])]),
      Buffer.from([0x30, 0x02, 0x02, 0x00]),
      Buffer.from([0x30, 0x03, 0x02, 0x7f, 0x01]),
      sign('sha384', Buffer.from('x'), longer),
    ])
      expect(() => joseSignature(broken)).toThrow(RangeError)
  })
})
