// The certified OpenID provider, with a few people, for the tests of the login. On loopback alone.
//
//   node provider.mjs MODULES PORT
//
// MODULES is the node_modules that the provider was installed into. Besides the provider's own paths there is
// POST /test/sign: it signs whatever claims it is given, so that a test has tokens that a provider never makes.
import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [modules, port] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`));
const issuer = `http://127.0.0.1:${port}`;

const people = {
  ada: { email: 'ada@example.com', email_verified: true, groups: ['platform'] },
  bob: { email: 'bob@example.com', email_verified: true, groups: ['shop-devs', 'everybody'] },
  eve: { email: 'ada@example.com', email_verified: false, groups: ['platform'] },
  ann: { email: 'ann@example.com', email_verified: true },
};

const key = (kid) => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { privateKey, jwk: { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' } };
};
const ours = key('ours');
const strange = key('strange');

const client = (client_id) => ({
  client_id,
  application_type: 'native',
  token_endpoint_auth_method: 'none',
  grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
  redirect_uris: ['http://127.0.0.1/callback'],
  response_types: ['code'],
});

const provider = new Provider(issuer, {
  clients: [client('enclii'), client('other')],
  jwks: { keys: [ours.jwk] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
  // The claims stand in the ID token itself, as most providers can be told to do.
  conformIdTokenClaims: false,
  features: { devInteractions: { enabled: true }, deviceFlow: { enabled: true } },
  findAccount: (_, id) => people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
  cookies: { keys: ['a test has no secrets'] },
});

const part = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

// {"header": {…}, "claims": {…}, "key": "ours" | "strange" | "public" | "none"}
const forge = ({ header, claims, key }) => {
  const head = { alg: 'RS256', kid: 'ours', typ: 'JWT', ...header };
  const text = `${part(head)}.${part(claims)}`;
  if (key === 'none') return `${text}.`;
  if (key === 'public') {
    // What a verifier would check with that takes the public key for an HMAC's secret.
    const pem = createPublicKey(ours.privateKey).export({ format: 'pem', type: 'spki' });
    return `${text}.${createHmac('sha256', pem).update(text).digest('base64url')}`;
  }
  const { privateKey } = key === 'strange' ? strange : ours;
  return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`;
};

const handle = provider.callback();
createServer((request, response) => {
  if (request.url !== '/test/sign') return handle(request, response);
  let body = '';
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => response.end(forge(JSON.parse(body))));
}).listen(Number(port), '127.0.0.1', () => console.log(`provider on ${issuer}`));
