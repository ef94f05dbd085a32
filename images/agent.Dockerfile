FROM scratch
COPY enclii-agent /enclii-agent
USER 65532:65532
ENTRYPOINT ["/enclii-agent"]
