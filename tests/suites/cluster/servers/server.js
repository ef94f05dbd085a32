const fs = require('fs');
const https = require('https');

const context = () => {
  const pem = fs.readFileSync('/run/secrets/server.pem');
  return { cert: pem, key: pem };
};
const server = https.createServer(context(), (_, answer) => answer.end('ok'));
server.keepAliveTimeout = 60000;
process.on('SIGHUP', () => server.setSecureContext(context()));
process.on('SIGTERM', () => process.exit(0));
server.listen(8443);
