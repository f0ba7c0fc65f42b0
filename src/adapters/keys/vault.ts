// Tools' secrets under the KEK, each bound to its row and purpose (S19). The clear text leaves in a Secret alone.

import type { KeyObject } from 'node:crypto'
import type { Vault } from '../../actions/ports.ts'
import { Secret } from '../../core/secret.ts'
import { openBytes, sealBytes } from './seal.ts'

const boundTo = ({ id, purpose }: Parameters<Vault['seal']>[1]) =>
  Buffer.from(`hallpass secret 1\n${purpose}\n${id}`, 'utf8')

export const createVault = (kek: KeyObject): Vault => ({
  seal: (secret, place) => sealBytes(Buffer.from(secret.reveal(), 'utf8'), kek, boundTo(place)),
  open(sealed, place) {
    const plain = openBytes(sealed, kek, boundTo(place))
    if (plain === null) return null
    const secret = new Secret(plain.toString('utf8'))
    plain.fill(0)
    return secret
  },
})
