// Requests are signed as the SDK's signer signs them, whatever they are, and by it where that does otherwise.
import { S3Client } from '@aws-sdk/client-s3'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encode } from '../../src/store/s3-http.ts'
import { type Credentials, ObjectSigner, type Signer, type UnsignedRequest } from '../../src/store/s3-signer.ts'

const DATE = new Date('2026-11-28T23:59:58.700Z')
const NEXT_DAY = new Date('2026-11-29T00:00:00.000Z')
const KEYS: Credentials = { accessKeyId: 'id', secretAccessKey: 'secret' }

/** The SDK's signer, and how often it was asked. */
async function sdkSigner(credentials: () => Promise<Credentials>, region = 'eu-north-1') {
  const { config } = new S3Client({
    region,
    credentials: credentials as () => Promise<{ [K in keyof typeof KEYS]: never }>,
  })
  const signer = (await config.signer({
    ...{ name: 'sigv4', signingName: 's3', signingRegion: region, disableDoubleEncoding: true, properties: {} },
  } as never)) as Signer
  const sdk = {
    asked: 0,
    sign(request: UnsignedRequest, options: { signingDate: Date }) {
      sdk.asked++
      return signer.sign(request, options)
    },
  }
  return sdk
}

function requestOf({ method = 'PUT', key = 'k', headers = {} } = {}): UnsignedRequest {
  const path = `/bucket/${key.split('/').map(encode).join('/')}`
  const common = { host: '127.0.0.1:9000', 'user-agent': 'aws-sdk-js  x', 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }
  return { method, protocol: 'http:', hostname: '127.0.0.1', path, query: {}, headers: { ...common, ...headers } }
}

test('every request is signed as the SDK signs it, which is asked for the first alone', async () => {
  const arbitrary = {
    method: fc.constantFrom('GET', 'PUT'),
    key: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }),
    headers: fc.subarray(
      [
        ['range', 'bytes=5-104'],
        ['content-length', '4711'],
        ['content-type', 'application/octet-stream'],
        ['if-none-match', '*'],
        ['if-match', '"abc"'],
        ['x-amz-checksum-crc32c', '4waSgw=='],
      ],
      { minLength: 0 },
    ),
    laterMs: fc.nat(1000),
  }
  for (const more of [{}, { sessionToken: 'token/+=' }]) {
    const credentials = async () => ({ ...KEYS, ...more })
    const sdk = await sdkSigner(credentials)
    const signer = new ObjectSigner(sdk, credentials)
    await signer.sign(requestOf(), DATE)
    expect(sdk.asked).toBe(1)
    await fc.assert(
      fc.asyncProperty(fc.record(arbitrary), async ({ method, key, headers, laterMs }) => {
        const request = requestOf({ method, key, headers: Object.fromEntries(headers) })
        const date = new Date(DATE.getTime() + laterMs)
        const { asked } = sdk
        const signed = await signer.sign(request, date)
        expect(sdk.asked).toBe(asked)
        expect(signed).toEqual((await sdk.sign(request, { signingDate: date })).headers)
      }),
    )
  }
})

test('the SDK is asked again on another day, and when there are other credentials', async () => {
  let keys = KEYS
  let asked = 0
  // The SDK keeps credentials that do not expire.
  const bySdk = async (date: Date) => (await sdkSigner(async () => keys)).sign(requestOf(), { signingDate: date })
  const sdk: Signer = {
    sign: (_, { signingDate }) => {
      asked++
      return bySdk(signingDate)
    },
  }
  const signer = new ObjectSigner(sdk, async () => keys)
  const sign = async (date: Date) => {
    expect(await signer.sign(requestOf(), date)).toEqual((await bySdk(date)).headers)
    return asked
  }
  expect([await sign(DATE), await sign(DATE)]).toEqual([1, 1])
  expect([await sign(NEXT_DAY), await sign(NEXT_DAY)]).toEqual([2, 2])
  keys = { ...KEYS }
  expect(await sign(NEXT_DAY)).toBe(2)
  for (const [index, more] of [{ secretAccessKey: 'x' }, { accessKeyId: 'y' }, { sessionToken: 'z' }].entries()) {
    keys = { ...keys, ...more }
    expect([await sign(NEXT_DAY), await sign(NEXT_DAY)]).toEqual([3 + index, 3 + index])
  }
})

test('where the SDK signs otherwise than we would, it signs everything', async () => {
  const real = await sdkSigner(async () => KEYS)
  for (const other of [
    {
      authorization: 'AWS4-ECDSA-P256-SHA256 Credential=id/20261128/s3/aws4_request, SignedHeaders=host, Signature=00',
    },
    { 'x-amz-region-set': '*' },
  ]) {
    let asked = 0
    const sign: Signer['sign'] = async (request, options) => {
      asked++
      return { headers: { ...(await real.sign(request, options)).headers, ...other } }
    }
    const signer = new ObjectSigner({ sign }, async () => KEYS)
    for (let times = 1; times <= 3; times++) {
      expect(await signer.sign(requestOf(), DATE)).toMatchObject(other)
      expect(asked).toBe(times)
    }
  }
})
