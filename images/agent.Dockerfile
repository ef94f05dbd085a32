FROM scratch
COPY enclii-agent /enclii-agent
COPY enclii-login-check /enclii-login-check
COPY enclii-render /enclii-render
USER 65532:65532
ENTRYPOINT ["/enclii-agent"]
