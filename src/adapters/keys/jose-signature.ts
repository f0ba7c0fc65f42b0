// An ECDSA signature as JOSE wants it (RFC 7518 section 3.4): R and S side by side, 32 bytes each for P-256. Node and OpenSSL
// write DER (RFC 3279 section 2.2.3). It signs and verifies nothing.

const COORDINATE_BYTES = 32
const SEQUENCE = 0x30
const INTEGER = 0x02

/** @throws RangeError where it is not the DER of a P-256 signature: a fault of the program. */
export function joseSignature(der: Uint8Array): Buffer {
  const out = Buffer.alloc(2 * COORDINATE_BYTES)
  if (der[0] !== SEQUENCE || der[1] !== der.length - 2) throw new RangeError('not a DER signature')
  const afterR = integerInto(out, COORDINATE_BYTES, der, 2)
  const afterS = integerInto(out, 2 * COORDINATE_BYTES, der, afterR)
  if (afterS !== der.length) throw new RangeError('not a DER signature of two integers')
  return out
}

/** Writes the integer at `at` so that it ends before `end`; answers where the next one begins. */
function integerInto(out: Buffer, end: number, der: Uint8Array, at: number): number {
  const length = der[at + 1] ?? 0
  const next = at + 2 + length
  if (der[at] !== INTEGER || length === 0 || next > der.length) throw new RangeError('not a DER integer')
  // DER puts a zero before a first byte that would make the number negative.
  const from = der[at + 2] === 0 ? at + 3 : at + 2
  if (next - from > COORDINATE_BYTES) throw new RangeError('a coordinate of P-256 has at most 32 bytes')
  out.set(der.subarray(from, next), end - (next - from))
  return next
}
