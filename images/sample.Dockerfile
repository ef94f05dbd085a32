FROM scratch
COPY enclii-sample /enclii-sample
USER 1000:1000
EXPOSE 8080
ENTRYPOINT ["/enclii-sample"]
